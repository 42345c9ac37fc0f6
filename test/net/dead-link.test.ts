// Owns the proof that a link which died without a word is left for a new one: a relay that falls silent, as a router does that
// forgot a connection, and lets new connections through.

import test from 'ava';
import { openLink } from '../cluster/links.ts';
import { freePort, startNode, until } from './harness.ts';

test.serial('a dead link is noticed and replaced within seconds, not after three status exchanges', async (t) => {
  const a = await startNode(t, 81);
  const link = await openLink(await freePort(), a.port);
  t.teardown(() => link.close());
  // Only b can find out: where it says it can be reached, nobody listens.
  const announce = [`127.0.0.1:${await freePort()}`];
  const b = await startNode(t, 82, { bootNodes: [`127.0.0.1:${link.port}`], limits: { maxOutbound: 0 }, announce });
  await until(() => b.peers().length === 1 && a.peers().length === 1, 20_000, 'connected');
  const left: string[] = [];
  b.onPeer((event) => {
    if (event.kind === 'left') left.push(event.reason);
  });
  link.cut();
  // What is connected stays dead for ever; whoever comes now gets through.
  link.heal();
  // A status every 3 s, a probe 2 s later, 1 s of grace; three status exchanges would be 30 s and more.
  const took = await until(() => left.length > 0, 25_000, 'the dead link is given up');
  await until(() => b.peers().length === 1 && a.peers().length === 1, 20_000, 'connected anew');
  t.log(`given up after ${Math.round(took)} ms`);
  t.is(left.length, 1);
});
