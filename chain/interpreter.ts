// Owns the loop that steps through bytecode on the library's own opcode and gas handlers. The library's loop awaits every
// opcode and looks for jump targets in every frame; this one awaits what is pending only and analyses a code once.
// What an opcode does and costs stays the library's; a traced run (a `step` listener) takes the library's loop.

import { type EVM, EVMError } from '@ethereumjs/evm';
import { Account } from '@ethereumjs/util';
import { check } from '../base/check.ts';

type Entry = Readonly<{
  opcodeInfo: Readonly<{ feeBigInt: bigint; dynamicGas: boolean; isInvalid: boolean }>;
  gasHandler: (state: RunState, gas: bigint, common: unknown) => bigint | Promise<bigint>;
  opHandler: (state: RunState, common: unknown) => unknown;
}>;

type Analysis = Readonly<{ jumps: Uint8Array; pushes: Readonly<Record<number, bigint>> }>;

type RunState = {
  programCounter: number;
  opCode: number;
  code: Uint8Array;
  validJumps: Uint8Array;
  cachedPushes: Readonly<Record<number, bigint>>;
  shouldDoJumpAnalysis: boolean;
  gasLeft: bigint;
  gasRefund: bigint;
  stateGasSpilled?: bigint;
  interpreter: Interpreter;
};

type Ran = { runState: RunState; exceptionError?: EVMError | undefined };

/** What the loop and its frame use of the library's EVM. */
type Machine = {
  readonly DEBUG: boolean;
  readonly events: Readonly<{ listenerCount(name: string): number }>;
  readonly _opcodeMap: Entry[];
  readonly _block?: unknown;
  readonly _tx?: Readonly<{ gasPrice: bigint; origin?: unknown }>;
  readonly stateManager: Readonly<{ getAccount(address: unknown): Promise<Account | undefined> }>;
  readonly blockchain: unknown;
  readonly journal: unknown;
  readonly performanceLogger: unknown;
  readonly _optsCached: Readonly<{ profiler?: Readonly<{ enabled?: boolean }> }>;
  readonly common: Readonly<{ isActivatedEIP(eip: number): boolean }>;
  runInterpreter(message: Frame, options?: FrameOptions): Promise<FrameResult>;
  _executeCall(message: Call): Promise<{ execResult: object }>;
  _reduceSenderBalance(account: Account, message: Call): Promise<void>;
  _addToBalance(account: Account, message: Call): Promise<void>;
  _loadCode(message: Call): Promise<void>;
  runPrecompile(code: unknown, data: Uint8Array, gasLimit: bigint): Promise<FrameResult>;
  postMessageCleanup(): void;
};

/** The library's message of a call. */
type Call = Omit<Frame, 'code'> & {
  code?: Uint8Array | ((...args: never[]) => unknown);
  readonly data: Uint8Array;
  readonly isCompiled?: boolean;
  readonly delegatecall?: boolean;
};

type Frame = Readonly<{
  to?: unknown;
  caller?: unknown;
  data?: Uint8Array;
  value?: bigint;
  code: Uint8Array;
  codeAddress?: unknown;
  isStatic?: boolean;
  isCreate?: boolean;
  depth?: number;
  gasLimit: bigint;
  gasRefund: bigint;
  chargeCodeAccesses?: boolean;
  blobVersionedHashes?: unknown;
  accessWitness?: unknown;
  selfdestruct?: unknown;
  createdAddresses?: unknown;
}>;
type FrameOptions = Readonly<{ pc?: number; initialLogs?: unknown }>;
type FrameResult = {
  returnValue?: Uint8Array;
  gasRefund?: bigint | undefined;
  selfdestruct?: unknown;
  createdAddresses?: unknown;
  logs?: unknown;
};

type Interpreter = {
  readonly _evm: Machine;
  _result: FrameResult;
  readonly _runState: RunState;
  readonly common: Readonly<{ isActivatedEIP(eip: number): boolean }>;
  readonly profilerOpts?: Readonly<{ enabled?: boolean }>;
  run(code: Uint8Array, options?: Readonly<{ pc?: number }>): Promise<Ran>;
  _getValidJumpDestinations(code: Uint8Array): Analysis;
};

const JUMP = 0x56;
const JUMPI = 0x57;
/** EIPs whose rules live inside the library's loop: witnesses (6800, 7864), object format (3540), access lists (7928). */
const LOOP_EIPS = [3_540, 6_800, 7_864, 7_928];

/** EIPs whose rules live in what the library does around a call's frame: witnesses, and Amsterdam's gas, logs and access
 * lists (2780, 7708, 7928, 8037). */
const CALL_EIPS = [2_780, 6_800, 7_708, 7_864, 7_928, 8_037];

/** By the code's bytes as the state hands them out: one object for one code hash, while it is in the cache. */
const analyses = new WeakMap<Uint8Array, Analysis>();
const replaced = new WeakSet<object>();

/** Replaces the loop of the library's interpreter, once for the process. The class is not exported, so a run is asked for it. */
export async function replaceLoop(evm: EVM): Promise<void> {
  const probe = await evm.runCode({ code: Uint8Array.of(0), gasLimit: 1n });
  const { interpreter } = (probe.runState ?? {}) as unknown as { interpreter?: Interpreter };
  check(interpreter !== undefined, 'the EVM library keeps its interpreter elsewhere');
  const prototype = Object.getPrototypeOf(interpreter) as Interpreter;
  if (replaced.has(prototype)) return;
  replaced.add(prototype);
  const original = prototype.run;
  check(typeof original === 'function', 'the EVM library runs code elsewhere');
  check(typeof prototype._getValidJumpDestinations === 'function', 'the EVM library finds jump targets elsewhere');
  prototype.run = function run(code, options) {
    return isOrdinary(this, options) ? loop(this, code) : original.call(this, code, options);
  };
  replaceFrame(Object.getPrototypeOf(evm) as Machine, prototype.constructor as InterpreterClass);
  replaceCall(Object.getPrototypeOf(evm) as Machine);
}

/** The library copies a call's message field by field for its frame, a twentieth of an empty block's time; the frame reads the
 * message itself. What a call moves and loads stays the library's. */
function replaceCall(prototype: Machine): void {
  const original = prototype._executeCall;
  check(typeof original === 'function', 'the EVM library executes calls elsewhere');
  prototype._executeCall = async function executeCall(message) {
    const isPlain = !this.DEBUG && this._optsCached.profiler?.enabled !== true;
    if (!isPlain || CALL_EIPS.some((eip) => this.common.isActivatedEIP(eip))) return original.call(this, message);
    const { depth, gasLimit, gasRefund, delegatecall } = message;
    let refused: unknown;
    if (delegatecall !== true) {
      refused = await refusal(this._reduceSenderBalance(await accountOf(this, message.caller), message));
      refused = (await refusal(this._addToBalance(await accountOf(this, message.to), message))) ?? refused;
    }
    await this._loadCode(message);
    const { code } = message;
    if (refused !== undefined || code === undefined || (typeof code !== 'function' && code.length === 0)) {
      const returnValue = new Uint8Array(0);
      return { execResult: { gasRefund, executionGasUsed: 0n, exceptionError: refused, returnValue } };
    }
    let result: FrameResult;
    if (message.isCompiled === true) {
      result = await this.runPrecompile(code, message.data, gasLimit);
      result.gasRefund = gasRefund;
    } else result = await this.runInterpreter(message as Frame);
    if (depth === 0) this.postMessageCleanup();
    return { execResult: result };
  };
}

async function accountOf(machine: Machine, address: unknown): Promise<Account> {
  return (await machine.stateManager.getAccount(address)) ?? new Account();
}

/** The EVM's reason for not moving a value, if it has one. */
async function refusal(moved: Promise<void>): Promise<EVMError | undefined> {
  try {
    await moved;
    return undefined;
  } catch (error) {
    if (error instanceof EVMError) return error;
    throw error;
  }
}

type InterpreterClass = new (
  evm: Machine,
  stateManager: unknown,
  blockchain: unknown,
  environment: object,
  gasLeft: bigint,
  journal: unknown,
  performanceLogs: unknown,
  profiler: unknown,
) => Interpreter;

/** The library hands a copy of all of a frame's inner state to whoever asked, a tenth of a token transfer's time; nobody
 * here reads it, so the state itself is handed out. */
function replaceFrame(prototype: Machine, Made: InterpreterClass): void {
  const original = prototype.runInterpreter;
  check(typeof original === 'function', 'the EVM library runs frames elsewhere');
  prototype.runInterpreter = async function runInterpreter(message, options = {}) {
    const { _block: block, _tx: tx } = this;
    if (block === undefined || tx === undefined || message.to === undefined || message.caller === undefined) {
      return original.call(this, message, options);
    }
    const environment = {
      address: message.to,
      caller: message.caller,
      callData: message.data ?? Uint8Array.of(0),
      callValue: message.value ?? 0n,
      code: message.code,
      isStatic: message.isStatic ?? false,
      isCreate: message.isCreate ?? false,
      depth: message.depth ?? 0,
      gasPrice: tx.gasPrice,
      origin: tx.origin ?? message.caller,
      block,
      contract: (await this.stateManager.getAccount(message.to)) ?? new Account(),
      codeAddress: message.codeAddress,
      gasRefund: message.gasRefund,
      chargeCodeAccesses: message.chargeCodeAccesses,
      blobVersionedHashes: message.blobVersionedHashes ?? [],
      accessWitness: message.accessWitness,
      createdAddresses: message.createdAddresses,
      initialLogs: options.initialLogs,
    };
    const interpreter = new Made(
      this,
      this.stateManager,
      this.blockchain,
      environment,
      message.gasLimit,
      this.journal,
      this.performanceLogger,
      this._optsCached.profiler,
    );
    if (message.selfdestruct) interpreter._result.selfdestruct = message.selfdestruct;
    if (message.createdAddresses) interpreter._result.createdAddresses = message.createdAddresses;
    const { runState, exceptionError } = await interpreter.run(message.code, options);
    const spent = message.gasLimit - runState.gasLeft;
    const reverted = exceptionError?.error === EVMError.errorMessages.REVERT;
    const result = interpreter._result;
    const failed = { ...result, logs: [], selfdestruct: new Map(), createdAddresses: new Set() };
    return {
      ...(exceptionError === undefined ? result : failed),
      runState,
      exceptionError,
      gas: runState.gasLeft,
      executionGasUsed: exceptionError === undefined || reverted ? spent : message.gasLimit,
      gasRefund: runState.gasRefund,
      stateGasSpilled: runState.stateGasSpilled,
      returnValue: result.returnValue ?? new Uint8Array(0),
    };
  };
}

function isOrdinary(interpreter: Interpreter, options: Readonly<{ pc?: number }> | undefined): boolean {
  const { _evm: evm, common } = interpreter;
  if (evm.events.listenerCount('step') > 0 || evm.DEBUG || interpreter.profilerOpts?.enabled === true) return false;
  return options?.pc === undefined && !LOOP_EIPS.some((eip) => common.isActivatedEIP(eip));
}

function adopt(state: RunState, { jumps, pushes }: Analysis): void {
  state.validJumps = jumps;
  state.cachedPushes = pushes;
  state.shouldDoJumpAnalysis = false;
}

async function loop(interpreter: Interpreter, code: Uint8Array): Promise<Ran> {
  const { _runState: state, common } = interpreter;
  const table = interpreter._evm._opcodeMap;
  state.code = code;
  let analysis = analyses.get(code);
  if (analysis !== undefined) adopt(state, analysis);
  try {
    while (state.programCounter < code.length) {
      const at = state.programCounter;
      const opcode = code[at] as number;
      if (analysis === undefined && (opcode === JUMP || opcode === JUMPI)) {
        analysis = interpreter._getValidJumpDestinations(code);
        analyses.set(code, analysis);
        adopt(state, analysis);
      }
      const entry = table[opcode] as Entry;
      const { opcodeInfo } = entry;
      state.opCode = opcode;
      let gas = opcodeInfo.feeBigInt;
      if (opcodeInfo.dynamicGas) {
        const priced = entry.gasHandler(state, gas, common);
        gas = typeof priced === 'bigint' ? priced : await priced;
      }
      if (opcodeInfo.isInvalid) throw new EVMError(EVMError.errorMessages.INVALID_OPCODE);
      state.gasLeft -= gas;
      if (state.gasLeft < 0n) {
        state.gasLeft = 0n;
        throw new EVMError(EVMError.errorMessages.OUT_OF_GAS);
      }
      state.programCounter = at + 1;
      const pending = entry.opHandler(state, common);
      if (pending !== undefined) await pending;
    }
  } catch (error) {
    if (!(error instanceof EVMError)) throw error;
    if (error.error !== EVMError.errorMessages.STOP) return { runState: state, exceptionError: error };
  }
  return { runState: state, exceptionError: undefined };
}
