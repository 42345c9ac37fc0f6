// Owns the shapes of traces: geth's struct logs and its callTracer (prestate-tracer.ts has the third), built from the chain's trace events.

import { toHex } from '../base/bytes.ts';
import type { CallOutcome, TraceListener, TraceStep } from '../chain/api.ts';
import { revertReason } from '../chain/revert-reason.ts';
import { invalidParams, refused } from './errors.ts';
import { quantityOf } from './format.ts';
import { type JsonObject, isObject } from './json.ts';
import type { RpcLimits } from './limits.ts';
import { flag } from './params.ts';
import { prestateTracer } from './prestate-tracer.ts';

export type Tracer = Readonly<{ listener: TraceListener; result(outcome: CallOutcome): unknown }>;

/** The tracer an options object asks for: struct logs without a name. */
export function tracer(options: JsonObject, where: string, limits: RpcLimits): Tracer {
  const name = options.tracer;
  if (name === undefined || name === null) return structLogger(options, where, limits);
  if (name === 'callTracer') return callTracer(options, where, limits);
  if (name === 'prestateTracer') {
    const config = isObject(options.tracerConfig) ? options.tracerConfig : {};
    return prestateTracer(flag(config.diffMode, `${where}.tracerConfig.diffMode`), limits);
  }
  throw invalidParams(
    `invalid ${where}.tracer: only struct logs (no name), "callTracer" and "prestateTracer" are served`,
  );
}

function structLogger(options: JsonObject, where: string, limits: RpcLimits): Tracer {
  const noStack = flag(options.disableStack, `${where}.disableStack`);
  const withMemory = flag(options.enableMemory, `${where}.enableMemory`);
  const logs: unknown[] = [];
  let dropped = false;
  return {
    listener: {
      step(step) {
        if (logs.length < limits.traceSteps) logs.push(structLog(step, !noStack, withMemory));
        else dropped = true;
      },
    },
    result(outcome) {
      if (dropped) throw refused(`the trace has more than ${limits.traceSteps} steps; use callTracer`);
      return {
        gas: Number(outcome.gasUsed),
        failed: outcome.failure !== null,
        returnValue: toHex(outcome.returned),
        structLogs: logs,
      };
    },
  };
}

function structLog(step: TraceStep, stack: boolean, memory: boolean): Readonly<Record<string, unknown>> {
  return {
    pc: step.pc,
    op: step.op,
    gas: Number(step.gas),
    gasCost: Number(step.gasCost),
    depth: step.depth,
    ...(stack ? { stack: step.stack.map(quantityOf) } : {}),
    ...(memory ? { memory: words(step.memory) } : {}),
  };
}

/** Memory as 32-byte words. */
function words(memory: Uint8Array): readonly string[] {
  const list: string[] = [];
  for (let at = 0; at < memory.length; at += 32) list.push(toHex(memory.subarray(at, at + 32)));
  return list;
}

type Frame = Record<string, unknown> & { calls?: Frame[] };

function callTracer(options: JsonObject, where: string, limits: RpcLimits): Tracer {
  const config = isObject(options.tracerConfig) ? options.tracerConfig : {};
  const topOnly = flag(config.onlyTopCall, `${where}.tracerConfig.onlyTopCall`);
  const open: Frame[] = [];
  let root: Frame | null = null;
  let count = 0;
  return {
    listener: {
      enter(call) {
        const frame: Frame = {
          type: call.type,
          from: call.from,
          ...(call.to === null ? {} : { to: call.to }),
          ...(call.type === 'STATICCALL' ? {} : { value: quantityOf(call.value) }),
          gas: quantityOf(call.gas),
          input: toHex(call.input),
        };
        const parent = open[open.length - 1];
        open.push(frame);
        count++;
        if (parent === undefined) root = frame;
        else if (!topOnly && count <= limits.traceCalls) {
          parent.calls ??= [];
          parent.calls.push(frame);
        }
      },
      exit(result) {
        const frame = open.pop();
        if (frame === undefined) return;
        frame.gasUsed = quantityOf(result.gasUsed);
        if (result.output.length > 0) frame.output = toHex(result.output);
        if (result.createdAddress !== null) frame.to = result.createdAddress;
        if (result.error === null) return;
        frame.error = result.error === 'revert' ? 'execution reverted' : result.error;
        const reason = revertReason(result.output);
        if (reason !== 'execution reverted') frame.revertReason = reason.slice('execution reverted: '.length);
      },
    },
    result(outcome) {
      if (count > limits.traceCalls) throw refused(`the trace has more than ${limits.traceCalls} calls`);
      if (root === null) throw refused('nothing was executed');
      // The outermost frame pays the intrinsic gas, which the EVM does not see.
      return { ...root, gasUsed: quantityOf(outcome.gasUsed) };
    },
  };
}
