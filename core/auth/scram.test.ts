import { createHash, createHmac } from 'node:crypto';
import { scramVerifier } from './scram.ts';

// The example of RFC 7677, section 3: user "user", password "pencil".
const salt = Buffer.from('W22ZaJ0SNY7soEsUEjb6gQ==', 'base64');
const authMessage =
  'n=user,r=rOprNGfwEbeRWgbNEkqO,' +
  'r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,' +
  'c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0';
const proof = Buffer.from('dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=', 'base64');
const serverSignature = '6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=';

test('a verifier accepts the proof of the RFC and signs as the RFC does', async () => {
  const { iterations, storedKey, serverKey } = await scramVerifier('pencil', salt);
  expect(iterations).toBe(4096);
  const signature = createHmac('sha256', storedKey).update(authMessage).digest();
  const clientKey = Buffer.from(proof.map((byte, index) => byte ^ (signature[index] ?? 0)));
  expect(createHash('sha256').update(clientKey).digest('hex')).toBe(Buffer.from(storedKey).toString('hex'));
  expect(createHmac('sha256', serverKey).update(authMessage).digest('base64')).toBe(serverSignature);
});

test('every verifier has a salt of its own', async () => {
  const [one, two] = await Promise.all([scramVerifier('pencil'), scramVerifier('pencil')]);
  expect(Buffer.from(one.salt).equals(two.salt)).toBe(false);
  expect(Buffer.from(one.storedKey).equals(two.storedKey)).toBe(false);
});
