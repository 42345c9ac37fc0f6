// Owns the list of all JSON-RPC methods. A method that is not here does not exist: there are no personal_, admin_, engine_
// or signing methods on this port.

import { check } from '../../base/check.ts';
import { blockMethods } from './block.ts';
import { callMethods } from './call.ts';
import { debugMethods } from './debug.ts';
import { learningMethods } from './learning.ts';
import { logMethods } from './log.ts';
import type { Method, MethodTable } from './method.ts';
import { nodeMethods } from './node.ts';
import { otterscanMethods } from './otterscan.ts';
import { simulateMethods } from './simulate.ts';
import { stateMethods } from './state.ts';
import { transactionMethods } from './transaction.ts';
import { txpoolMethods } from './txpool.ts';

const tables: readonly MethodTable[] = [
  nodeMethods,
  blockMethods,
  stateMethods,
  transactionMethods,
  callMethods,
  simulateMethods,
  logMethods,
  txpoolMethods,
  debugMethods,
  otterscanMethods,
  learningMethods,
];

/** Every method by name. */
export const methods: ReadonlyMap<string, Method> = merge();

function merge(): ReadonlyMap<string, Method> {
  const all = new Map<string, Method>();
  for (const table of tables) {
    for (const [name, method] of Object.entries(table)) {
      check(!all.has(name), `method ${name} stands in two tables`);
      all.set(name, method);
    }
  }
  return all;
}
