import { scramVerifier } from '#core/auth/scram.ts';
import { fakeVerifier, scramExchange } from './scram.ts';

// RFC 7677, section 3: user "user", password "pencil".
const salt = Buffer.from('W22ZaJ0SNY7soEsUEjb6gQ==', 'base64');
const serverNonce = '%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0';
const clientFirst = 'n,,n=user,r=rOprNGfwEbeRWgbNEkqO';
const unbound = { endPoint: undefined, isUsed: false };
const clientFinal = `c=biws,r=rOprNGfwEbeRWgbNEkqO${serverNonce},p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=`;

test('the exchange of RFC 7677', async () => {
  const exchange = scramExchange(await scramVerifier('pencil', salt), unbound, serverNonce);
  expect(exchange.first(clientFirst)).toBe(`r=rOprNGfwEbeRWgbNEkqO${serverNonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096`);
  expect(exchange.final(clientFinal)).toBe('v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=');
});

test('another password, and a user who does not exist, are told apart by nobody', async () => {
  for (const verifier of [await scramVerifier('pencils', salt), fakeVerifier('user', Buffer.from('secret'))]) {
    const exchange = scramExchange(verifier, unbound, serverNonce);
    exchange.first(clientFirst);
    expect(exchange.final(clientFinal)).toBeUndefined();
  }
  expect(fakeVerifier('a', Buffer.from('s'))).toEqual(fakeVerifier('a', Buffer.from('s')));
  expect(fakeVerifier('a', Buffer.from('s')).salt).not.toEqual(fakeVerifier('b', Buffer.from('s')).salt);
});

test.each([
  ['p=tls-server-end-point,,n=user,r=abc', clientFinal],
  ['n,,n=user', clientFinal],
  ['nonsense', clientFinal],
  [clientFirst, 'c=biws,r=another,p=AAAA'],
  [clientFirst, clientFinal.replace('biws', 'eSws')],
  [clientFirst, clientFinal.replace(/p=.*/, 'p=AAAA')],
  [clientFirst, 'c=biws'],
])('malformed: %s, %s', async (first, final) => {
  const exchange = scramExchange(await scramVerifier('pencil', salt), unbound, serverNonce);
  expect(() => {
    exchange.first(first);
    exchange.final(final);
  }).toThrow(/malformed SCRAM message/);
});

test.each([
  // No client of ours would say so: somebody took the mechanism off the list, or the certificate is another's.
  ['y,,n=user,r=abc', { endPoint: Buffer.from('hash'), isUsed: false }, 'c=eSws', /negotiation error/],
  ['p=tls-server-end-point,,n=user,r=abc', { endPoint: Buffer.from('hash'), isUsed: true },
    `c=${Buffer.from('p=tls-server-end-point,,another').toString('base64')}`, /binding check failed/],
  ['p=tls-unique,,n=user,r=abc', { endPoint: Buffer.from('hash'), isUsed: true }, 'c=biws', /malformed/],
  ['n,,n=user,r=abc', { endPoint: Buffer.from('hash'), isUsed: true }, 'c=biws', /malformed/],
  ['p=tls-server-end-point,,n=user,r=abc', { endPoint: Buffer.from('hash'), isUsed: false }, 'c=biws', /malformed/],
])('channel binding: %s is refused', async (first, binding, final, why) => {
  const exchange = scramExchange(await scramVerifier('pencil', salt), binding, serverNonce);
  expect(() => {
    exchange.first(first);
    exchange.final(`${final},r=abc${serverNonce},p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=`);
  }).toThrow(why);
});
