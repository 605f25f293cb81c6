import { makeEvent, must, pick, sleep, someTerms, whileSettling, type Stage } from './stage.ts';

/**
 * What happens while people post. Each leaves the world whole again, but for what is on its way; a silence goes on
 * beside what comes next.
 */
export const allDeeds: Readonly<Record<string, (stage: Stage) => Promise<void>>> = {
  edit, editAgain: edit, pause, replace, kill, killAgain: kill,
  async database({ postgres, random }) {
    await postgres.kill();
    await sleep(random() * 1500);
    await postgres.restart();
    await sleep(2000);
  },
  async breakBluesky({ hosts, random }) {
    hosts.forEach((host) => random() < 0.5 ? host.break() : host.close(1011, 'bye'));
    await sleep(random() * 3000);
  },
  async hostDown({ hosts, random }) {
    const host = pick(random, hosts);
    await host.down();
    await sleep(random() * 4000);
    await host.up();
  },
  async silentHost({ hosts, random }) {
    const host = pick(random, hosts);
    host.silence(true);
    void endSilence(host, random);
    await sleep(random() * 2000);
  },
  async refusals({ hosts, random }) {
    const host = pick(random, hosts);
    const status = pick(random, [500, 503, 404, 301, 429]);
    host.refuse(status, 1, status === 429 ? { 'retry-after': '2' } : {});
    hosts.forEach((one) => one.break());
    await sleep(random() * 3000);
  },
  async twice({ hosts, random }) {
    hosts.forEach((host) => { host.repeat(2); host.fragment(1 + Math.floor(random() * 40)); });
    await sleep(2000);
    hosts.forEach((host) => { host.repeat(1); host.fragment(0); });
  },
  async garbage({ network, x, random }) {
    for (const bytes of ['', '{', 'null', '[]', '{"did":1}', Buffer.from([0xff, 0xfe, 0])]) if (random() < 0.7) network.raw(bytes);
    for (const bytes of ['{\r\n', 'null\r\n', '{"surprise":1}\r\n', Buffer.from([0xff, 0xfe, 0x0d, 0x0a])]) if (random() < 0.7) x.raw(bytes);
    await sleep(500);
  },
  async breakX({ x, random }) {
    pick(random, [() => x.break(), () => x.end(), () => x.disconnect()])();
    await sleep(1000 + random() * 3000);
  },
  async silentX({ x, random }) {
    x.silence(true);
    void endSilence(x, random);
    await sleep(random() * 2000);
  },
  async refuseX({ x, random }) {
    const soon = String(Math.ceil(Date.now() / 1000) + 1);
    const answers = [{ status: 503 }, { status: 429, headers: { 'x-rate-limit-reset': soon }, body: { title: 'Too Many Requests' } }];
    x.answer('stream', pick(random, answers));
    if (random() < 0.5) x.answer('search', pick(random, answers));
    if (random() < 0.5) x.answer('rules', pick(random, answers));
    x.break();
    await sleep(random() * 6000);
  },
  /** What was missed is lost for good: a gap that stays on record as not filled. */
  async searchRefused({ x, random }) {
    x.answer('search', { status: 403, body: { title: 'Client Forbidden', detail: 'not your plan' } });
    x.answer('stream', { status: 503 });
    x.break();
    await sleep(1000 + random() * 5000);
  },
  async deletions({ network, model, random, absent, authors }) {
    for (let count = 0; count < 3; count++) {
      const post = pick(random, network.posts);
      network.delete(post.id);
      model.deleted('bluesky', post.id);
    }
    const author = pick(random, authors);
    const goes = !absent.has(author);
    network.account(author, !goes, goes ? pick(random, ['deleted', 'takendown', 'suspended', 'deactivated']) : undefined);
    model.account(author, goes);
    if (goes) absent.add(author);
    else absent.delete(author);
    await sleep(300);
  },
};

/** Half of the silences are a slow moment, the others are noticed. */
async function endSilence(of: { silence(on: boolean): void }, random: () => number): Promise<void> {
  await sleep(random() < 0.5 ? 4000 : 26_000);
  of.silence(false);
}

async function kill({ lake, random }: Stage): Promise<void> {
  await lake.kill(Math.floor(random() * 6));
  await sleep(random() * 2000);
  await lake.start();
  await sleep(1000 + random() * 3000);
}

async function edit(stage: Stage): Promise<void> {
  await whileSettling(stage, async () => {
    const [id, before] = pick(stage.random, [...stage.model.events]);
    const terms = someTerms(stage.random);
    await must(stage, 'PATCH', `/api/events/${id}`, { rule: { any: terms } });
    stage.model.follow(id, terms);
    return before.active && terms.join() !== before.terms.join();
  });
}

async function pause(stage: Stage): Promise<void> {
  await whileSettling(stage, async () => {
    const [id, { active }] = pick(stage.random, [...stage.model.events]);
    await must(stage, 'POST', `/api/events/${id}/${active ? 'pause' : 'resume'}`);
    stage.model.setActive(id, !active);
    return true;
  });
}

async function replace(stage: Stage): Promise<void> {
  await whileSettling(stage, async () => {
    const [id] = pick(stage.random, [...stage.model.events]);
    const { name } = await must(stage, 'GET', `/api/events/${id}`) as { name: string }; // an event
    await must(stage, 'DELETE', `/api/events/${id}`, { name });
    stage.model.forget(id);
    return makeEvent(stage, name);
  });
}
