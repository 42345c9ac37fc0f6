// Owns the contracts' ABIs, typed for any viem client, and the only import of viem: encoding and decoding. The text is held
// equal to the compiler's ABI by test/chain/system-abi.test.ts.

import type {
  Abi,
  AbiFunction,
  AbiParameter,
  AbiStateMutability,
  ContractEventName,
  ContractFunctionArgs,
  ContractFunctionName,
  ContractFunctionReturnType,
  DecodeEventLogReturnType,
} from 'viem';
import {
  decodeErrorResult,
  decodeEventLog,
  decodeFunctionResult,
  encodeAbiParameters,
  parseAbi,
  toFunctionSelector,
} from 'viem/utils';
import { type Hex, concat, fromHex, toHex } from '../../base/bytes.ts';
import { check, present } from '../../base/check.ts';
import type { SystemLog } from './api.ts';

export const authoritiesAbi = parseAbi([
  'struct Member { address account; bytes publicKey; }',
  'struct Proposal { uint64 version; uint64 deadline; uint120 votes; bool closed; bool add; address account; bytes publicKey; }',
  'constructor(Member[] members)',
  'function propose(bool add, address account, bytes publicKey) returns (uint256 proposal)',
  'function vote(uint256 proposal)',
  'function expel(address account) returns (bool removed)',
  'function leftBlock(address account) view returns (uint64)',
  'function activeVersion() view returns (uint64)',
  'function latestVersion() view returns (uint64)',
  'function quorum() view returns (uint256)',
  'function quorumOf(uint64 version) view returns (uint256)',
  'function isAuthority(address account) view returns (bool)',
  'function size(uint64 version) view returns (uint256)',
  'function seat(uint64 version, address account) view returns (uint256 indexPlusOne)',
  'function member(uint64 version, uint256 index) view returns (address)',
  'function setOf(uint64 version) view returns (uint64 activeFrom, Member[] members, uint256 votes)',
  'function proposalCount() view returns (uint256)',
  'function proposalAt(uint256 number) view returns (Proposal)',
  'event SetDecided(uint64 indexed version, uint64 activeFrom, address[] accounts)',
  'event Proposed(uint256 indexed proposal, address indexed by, bool add, address indexed account, bytes publicKey)',
  'event Voted(uint256 indexed proposal, address indexed by)',
  'event Expelled(address indexed account)',
  'error NotAllowed(address caller)',
  'error NotAuthority(address caller)',
  'error AlreadyVoted(address caller)',
  'error ProposalOver(uint256 proposal)',
  'error SetOutOfRange(uint256 size)',
  'error MemberRefused(address account)',
  'error KeyRefused(bytes publicKey)',
  'error ChangePending(uint64 activeFrom)',
]);

export const trainersAbi = parseAbi([
  'struct Rules { uint128 minStakeGwei; uint64 unbondingBlocks; uint8 missLimit; uint16 vestingRounds; uint16 burnBps; }',
  'struct Trainer { address account; uint8 status; uint8 capacity; bool locked; uint128 stakeWei; uint128 unvestedGwei; uint256 creditWei; uint64 exitBlock; uint32 accepted; uint32 rejected; uint32 unresolved; uint32 missed; uint8 misses; bytes32 canaryLayer; }',
  'constructor(Rules parameters_)',
  'function register(uint8 capacity) payable',
  'function addStake() payable',
  'function setCapacity(uint8 capacity)',
  'function setCanaryLayer(bytes32 layerHash)',
  'function renewCanaryLayer(address account, bytes32 layerHash)',
  'function canaryLayerOf(address account, uint64 round) view returns (bytes32)',
  'function resume()',
  'function requestExit()',
  'function withdraw()',
  'function claimCredit()',
  'function freeze(uint64 round, uint256 most) returns (address[] accounts, uint8[] capacities, uint256[] securityGwei)',
  'function settle(uint64 round, address account, uint8 outcome, uint256 payGwei) returns (uint256 releasedGwei)',
  'function release(address account) returns (uint256 releasedGwei)',
  'function finishRound(uint64 round)',
  'function slash(uint64 round, address account, address accuser)',
  'function seatOf(address account) view returns (uint64 roundPlusOne, uint8 seat)',
  'function activeCount() view returns (uint256)',
  'function activeTrainers(uint256 offset, uint256 most) view returns (Trainer[] list)',
  'function trainerOf(address account) view returns (Trainer)',
  'function credit(address account) view returns (uint256)',
  'function parameters() view returns (Rules)',
  'function settledRounds() view returns (uint64)',
  'function totalStake() view returns (uint256)',
  'function totalCredit() view returns (uint256)',
  'function totalUnvestedGwei() view returns (uint256)',
  'event Registered(address indexed trainer, uint8 capacity, uint256 stakeWei)',
  'event StakeAdded(address indexed trainer, uint256 amountWei, uint256 stakeWei)',
  'event CapacitySet(address indexed trainer, uint8 capacity)',
  'event Paused(address indexed trainer, uint64 indexed round)',
  'event Resumed(address indexed trainer)',
  'event ExitRequested(address indexed trainer, uint64 exitBlock)',
  'event Withdrawn(address indexed trainer, uint256 amountWei)',
  'event Vested(address indexed trainer, uint64 indexed round, uint256 paidGwei, uint256 releasedGwei, uint256 unvestedGwei)',
  'event Slashed(address indexed trainer, uint64 indexed round, address indexed accuser, uint256 burnedWei, uint256 bountyWei, uint256 forfeitedGwei)',
  'event CreditClaimed(address indexed account, uint256 amountWei)',
  'event CanaryLayerSet(address indexed trainer, bytes32 layerHash, uint64 fromRound)',
  'error NotAllowed(address caller)',
  'error WrongStatus(uint8 status)',
  'error CapacityOutOfRange(uint256 capacity)',
  'error StakeTooLow(uint256 amountWei, uint256 leastWei)',
  'error StakeTooHigh(uint256 amountWei)',
  'error Locked(uint64 round)',
  'error Unbonding(uint64 exitBlock)',
  'error UnderChallenge(uint256 open)',
  'error NothingToClaim(address account)',
  'error TransferFailed(address account, uint256 amountWei)',
]);

export const learningRoundsAbi = parseAbi([
  'struct Parameters { uint16 minTrainers; uint16 maxTrainers; uint32 trainBlocks; uint32 auditBlocks; uint32 graceBlocks; uint32 revealBlocks; uint32 canaryBlocks; uint32 disputeBlocks; uint32 attestBlocks; uint32 steps; uint32 batch; uint32 sequenceLength; uint32 samplesPerAudit; uint32 learningRateNano; uint32 warmupSteps; uint32 decaySteps; uint32 outerEtaNumerator; uint16 floorBps; uint16 weightCapBps; uint8 outerEtaShift; uint8 outerMomentum; uint16 codec; uint32 clipBps; uint16 trainerShareBps; uint16 auditorShareBps; uint16 canaryShareBps; uint16 canaryBps; uint16 auditFloorBps; uint16 auditCostBps; uint16 deepReplayBps; uint16 recheckBps; uint16 auditWeight; uint32 halvingRounds; uint64 gateMicroNats; uint64 maxUpdateBytes; uint64 rewardPerTokenGwei; uint64 roundCapGwei; bytes32 kernelSpec; bytes32 programHash; bytes32 datasetHash; bytes32 trainingConfigHash; }',
  'struct Checkpoint { bytes32 blobId; bytes32 sha256Hash; uint64 size; }',
  'struct Model { bytes32 root; uint32 version; uint64 roundPlusOne; uint64 heldOutMicroNats; Checkpoint checkpoint; }',
  'struct Round { uint64 number; uint8 phase; uint8 outcome; uint8 rosterSize; uint8 committed; uint8 undecided; uint8 accepted; uint16 acceptedCapacity; uint16 canaryCapacity; uint16 cursor; uint8 attempt; uint64 deadline; uint64 setVersion; uint64 frozenBlock; uint64 openedBlock; uint64 revealedBlock; uint64 dataStart; uint32 baseVersion; bytes32 seed; bytes32 baseRoot; uint128 sealed_; uint128 revealed; uint128 attested; uint128 emissionGwei; uint128 penalised; }',
  'struct RosterEntry { address trainer; uint8 capacity; uint8 status; uint16 auditRateBps; }',
  'struct Claim { address trainer; uint8 capacity; uint8 status; uint8 openDisputes; uint16 auditRateBps; uint32 ripe; uint24 carriedRounds; uint64 committedBlock; uint64 updateSize; uint128 winners; uint128 valid; uint128 passed; uint128 invalid; uint128 unavailable; bytes32 traceRoot; bytes32 gradChainHead; bytes32 finalStateRoot; bytes32 updateHash; bytes32 residualRoot; bytes32 canaryHash; }',
  'struct Dispute { uint32 step; address accuser; uint8 state; uint8 seat; uint128 invalid; uint128 valid; }',
  'struct Commitment { bytes32 baseRoot; bytes32 traceRoot; bytes32 gradChainHead; bytes32 finalStateRoot; bytes32 updateHash; bytes32 residualRoot; bytes32 canaryHash; uint64 updateSize; bytes32 kernelSpec; bytes32 programHash; bytes leaves; }',
  'constructor(Parameters parameters_, Model model_)',
  'function onBlock()',
  'function commit(uint64 number, Commitment work)',
  'function commitVerdicts(uint64 number, bytes32 hash)',
  'function revealVerdicts(uint64 number, bytes entries, bytes32 nonce, bytes vrfProof)',
  'function openCanary(uint64 number, uint32 step, bytes32 layer, bytes32 nextLayerHash)',
  'function rejectByReferee(uint64 number, address trainer) returns (bool rejected)',
  'function judge(uint64 number, address trainer, uint32 step, bool invalid)',
  'function attest(uint64 number, bytes32 modelRoot, uint64 heldOutMicroNats, Checkpoint checkpoint)',
  'function releaseVested(address trainer)',
  'function KEPT_ROUNDS() view returns (uint64)',
  'function roundCount() view returns (uint64)',
  'function paidRounds() view returns (uint64)',
  'function dataCursor() view returns (uint64)',
  'function model() view returns (Model)',
  'function earlierModel() view returns (Model)',
  'function parameters() view returns (Parameters)',
  'function roundAt(uint64 number) view returns (Round record, RosterEntry[] roster)',
  'function claimOf(uint64 number, address trainer) view returns (uint256 seat, Claim claim, Dispute[] list)',
  'function entryOf(uint64 number, address authority, uint8 seat) view returns (uint64 setVersion, uint64 revealedBlock, uint8 kind, uint8 status)',
  'event RosterFrozen(uint64 indexed round, address[] trainers, uint8[] capacities, uint16[] auditRatesBps)',
  'event RoundOpened(uint64 indexed round, bytes32 seed, bytes32 baseRoot, uint32 baseVersion, uint64 dataStart, uint64 deadline)',
  'event PhaseChanged(uint64 indexed round, uint8 phase, uint64 deadline)',
  'event Committed(uint64 indexed round, address indexed trainer, bytes32 baseRoot, bytes32 traceRoot, bytes32 gradChainHead, bytes32 finalStateRoot, bytes32 updateHash, bytes32 residualRoot, bytes32 canaryHash, uint64 updateSize, bytes32 kernelSpec, bytes32 programHash, bytes leaves)',
  'event VerdictsSealed(uint64 indexed round, address indexed authority, bytes32 hash)',
  'event VerdictsRevealed(uint64 indexed round, address indexed authority, bytes entries, bytes vrfProof)',
  'event CanaryOpened(uint64 indexed round, address indexed trainer, uint32 step, bytes32 layer)',
  'event ClaimRejectedByReferee(uint64 indexed round, address indexed trainer, uint8 attempt)',
  'event DisputeOpened(uint64 indexed round, address indexed trainer, address indexed accuser, uint32 step)',
  'event Judged(uint64 indexed round, address indexed trainer, address indexed authority, uint32 step, bool invalid)',
  'event DisputeClosed(uint64 indexed round, address indexed trainer, address indexed accuser, uint32 step, uint8 state)',
  'event ClaimDecided(uint64 indexed round, address indexed trainer, uint8 status)',
  'event Attested(uint64 indexed round, address indexed authority, bytes32 modelRoot, uint64 heldOutMicroNats, Checkpoint checkpoint)',
  'event Finalised(uint64 indexed round, uint8 outcome, bytes32 modelRoot, uint64 heldOutMicroNats, uint32 baseVersion, Checkpoint checkpoint)',
  'event RoundSettled(uint64 indexed round, uint256 emissionGwei)',
  'error NotAllowed(address caller)',
  'error NotAuthority(address caller)',
  'error NotInRoster(address trainer)',
  'error WrongRound(uint64 round, uint64 current)',
  'error WrongPhase(uint8 phase)',
  'error WrongClaimStatus(uint8 status)',
  'error DeadlinePassed(uint64 deadline)',
  'error BaseMismatch(bytes32 base)',
  'error SpecMismatch(bytes32 kernelSpec, bytes32 programHash)',
  'error LeavesLength(uint256 length, uint256 expected)',
  'error UpdateSize(uint64 size, uint64 most)',
  'error EmptyHash()',
  'error LossOutOfRange(uint64 heldOutMicroNats)',
  'error VerdictUnknown(uint8 verdict)',
  'error StepOutOfRange(uint32 step)',
  'error NotSealed(address authority)',
  'error SealMismatch(bytes32 hash)',
  'error EntriesLength(uint256 length, uint256 expected)',
  'error EntryMisplaced(uint8 seat)',
  'error DigestUnfit(uint8 seat)',
  'error ProofLength(uint256 length)',
  'error LayerUnknown(bytes32 layerHash)',
  'error TicketNotOwned(bytes32 ticket)',
  'error CanaryMismatch(bytes32 canaryHash)',
  'error AlreadyGiven(address authority)',
  'error NoOpenDispute(uint32 step)',
  'error RoundForgotten(uint64 round)',
]);

export const rewardsAbi = parseAbi([
  'struct Entry { address recipient; uint96 amountGwei; }',
  'function append(address recipient, uint256 amountGwei, uint8 reason)',
  'function markPaid(uint256 count)',
  'function burn() payable',
  'function pending(uint256 most) view returns (Entry[] list)',
  'function pendingCount() view returns (uint256)',
  'function mintedGwei() view returns (uint128)',
  'function paidGwei() view returns (uint128)',
  'function totalMinted() view returns (uint256)',
  'function totalBurned() view returns (uint256)',
  'event Minted(address indexed recipient, uint256 amountGwei, uint8 indexed reason, uint64 index)',
  'event Paid(uint256 count, uint256 amountGwei)',
  'event Burned(address indexed from, uint256 amountWei)',
  'error NotAllowed(address caller)',
  'error AmountOutOfRange(uint256 amountGwei)',
  'error NotPending(uint256 count, uint256 pending)',
]);

export const bondsAbi = parseAbi([
  'struct Rules { uint64 authorityBondGwei; uint64 accusationBondGwei; uint64 unbondingBlocks; uint32 recheckWindowBlocks; uint32 trialBlocks; uint16 burnBps; }',
  'struct Trial { uint64 round; uint64 deadline; uint64 setVersion; uint8 seat; uint8 kind; uint8 state; address accused; address accuser; uint128 bondWei; uint128 guilty; uint128 innocent; }',
  'constructor(Rules parameters_, address[] founders)',
  'function deposit() payable',
  'function withdraw()',
  'function accuse(uint64 round, address authority, uint8 seat, uint8 kind) payable returns (uint256 trial)',
  'function judgeAuthority(uint256 number, bool guilty)',
  'function closeTrial(uint256 number)',
  'function slash(address authority, uint16 bps, address beneficiary)',
  'function claimCredit()',
  'function bonded(address authority) view returns (bool)',
  'function bondOf(address account) view returns (uint256)',
  'function credit(address account) view returns (uint256)',
  'function openTrials(address account) view returns (uint256)',
  'function totalBonds() view returns (uint256)',
  'function totalCredit() view returns (uint256)',
  'function totalAccusations() view returns (uint256)',
  'function trialCount() view returns (uint256)',
  'function trialAt(uint256 number) view returns (Trial)',
  'function parameters() view returns (Rules)',
  'event Deposited(address indexed account, uint256 amountWei, uint256 bondWei)',
  'event Withdrawn(address indexed account, uint256 amountWei)',
  'event Accused(uint256 indexed trial, address indexed accused, address indexed accuser, uint64 round, uint8 seat, uint8 kind, uint64 deadline)',
  'event AuthorityJudged(uint256 indexed trial, address indexed authority, bool guilty)',
  'event TrialClosed(uint256 indexed trial, address indexed accused, address indexed accuser, uint8 state)',
  'event BondSlashed(address indexed account, address indexed beneficiary, uint256 burnedWei, uint256 bountyWei)',
  'event CreditClaimed(address indexed account, uint256 amountWei)',
  'error NotAllowed(address caller)',
  'error BondOutOfRange(uint256 amountWei)',
  'error StillSeated(address account)',
  'error Unbonding(uint64 until)',
  'error UnderTrial(address account)',
  'error NothingToClaim(address account)',
  'error NothingToAccuse(uint64 round, address authority, uint8 seat, uint8 kind)',
  'error WindowPassed(uint64 until)',
  'error AlreadyTried(uint256 trial)',
  'error NoOpenTrial(uint256 trial)',
  'error NotJudge(address caller)',
  'error AlreadyGiven(address authority)',
  'error TrialRuns(uint64 deadline)',
  'error TransferFailed(address account, uint256 amountWei)',
]);

export const challengesAbi = parseAbi([
  'struct Parameters { uint64 bondGwei; uint32 answerBlocks; uint32 proveBlocks; uint32 windowBlocks; uint32 steps; uint32 batch; uint32 sequenceLength; uint32 updates; uint32 sequences; uint32 rates; uint32 biases; bool carryMoments; uint64 parameterBytes; uint32 beta1; uint32 beta2; uint32 eps; uint32 decay; uint32 clip; bytes32 programRoot; bytes32 trainingRoot; bytes32 rateRoot; bytes32 biasRoot; bytes32 zeroRoot; }',
  'struct Challenge { address challenger; uint32 step; uint8 state; uint8 capacity; uint8 asks; address trainer; uint64 round; uint64 deadline; uint64 position; uint64 number; uint64 seed; uint64 seen; bytes32 traceRoot; bytes32 baseRoot; bytes32 carriedRoot; bytes32 answerHash; bytes32 questionHash; uint64 setVersion; uint128 deniers; }',
  'struct Leaf { bytes32 stateRoot; bytes32 dataRoot; bytes32 gradRoot; uint32 lossBits; }',
  'struct Program { bytes32 records; uint32 recordCount; uint32 entries; bytes32[] siblings; }',
  'struct Answer { bytes32 stateBefore; bytes32 stateAfter; bytes32 gradRoot; uint32 lossBits; bytes32 list; bytes32 records; uint32 recordCount; uint32 entries; }',
  'struct Entry { bytes32 root; bytes32[] siblings; }',
  'struct RecordProof { bytes record; uint32 index; bytes32[] siblings; }',
  'struct Schedule { uint32 rate; bytes32[] rateSiblings; uint32[2] bias; bytes32[] biasSiblings; }',
  'struct InputProof { bool targets; uint32 element; Entry entry; bytes leaf; bytes32[] siblings; bytes sequence; bytes32[] sequenceSiblings; }',
  'struct Node { bytes32 root; uint32 leaves; uint8 level; uint32 index; uint32 leafBytes; }',
  'struct Opening { uint8 operand; uint32 index; bytes leaf; bytes32[] siblings; }',
  'constructor(Parameters parameters_)',
  'function challenge(uint64 round, address trainer, uint32 step) payable returns (uint256 id)',
  'function answer(uint256 id, Program program, Leaf leaf, bytes32[] siblings, Leaf earlier, bytes32[] earlierSiblings, bytes32[] roots)',
  'function ask(uint256 id, Answer a, RecordProof proof, uint256 operand, Entry[] entries, uint8 level, uint32 index)',
  'function reveal(uint256 id, Node node, bytes32[] nodes, bytes leaf, bytes32[] siblings)',
  'function prove(uint256 id, Answer a, RecordProof proof, uint32[] selected, Entry[] entries, Schedule schedule, Opening[] witness)',
  'function proveInput(uint256 id, Answer a, InputProof proof)',
  'function proveFinalState(uint64 round, address trainer, Leaf leaf, bytes32[] siblings)',
  'function settle(uint256 id)',
  'function collect()',
  'function challengeAt(uint256 id) view returns (Challenge)',
  'function challengeCount() view returns (uint256)',
  'function parameters() view returns (Parameters)',
  'function totalBonds() view returns (uint256)',
  'function totalCredit() view returns (uint256)',
  'function credit(address account) view returns (uint256)',
  'function openAgainst(address trainer) view returns (uint256)',
  'event Challenged(uint256 indexed id, uint64 indexed round, address indexed trainer, address challenger, uint32 step, uint64 deadline)',
  'event Answered(uint256 indexed id, Leaf leaf, bytes32 stateBefore, bytes32[] roots, uint64 deadline)',
  'event Asked(uint256 indexed id, Node node, uint64 deadline)',
  'event Revealed(uint256 indexed id, bytes32 root, uint8 level, uint32 index, bytes32[] nodes, bytes leaf, uint64 deadline)',
  'event Closed(uint256 indexed id, uint8 state, bytes32 reason)',
  'event FinalStateRefuted(uint64 indexed round, address indexed trainer, address indexed challenger)',
  'event JudgeHeld(address indexed authority, uint64 setVersion, uint32 step)',
  'event Collected(address indexed account, uint256 amountWei)',
  'error WrongBond(uint256 amountWei, uint256 neededWei)',
  'error WrongStatus(uint8 status)',
  'error WrongPhase(uint8 phase)',
  'error WindowOver(uint64 lastBlock)',
  'error StepOutOfRange(uint32 step)',
  'error TooManyOpen(uint256 open)',
  'error AlreadyProven()',
  'error NotYourMove(address caller)',
  'error WrongState(uint8 state)',
  'error DeadlinePassed(uint64 deadline)',
  'error DeadlineAhead(uint64 deadline)',
  'error AnswerRefused()',
  'error QuestionRefused()',
  'error NotFalse()',
  'error NothingToCollect()',
  'error TransferFailed()',
  'error RecordRefused()',
  'error ScheduleRefused()',
  'error NodeRefused()',
  'error InputRefused()',
  'error ProofRefused()',
]);

type Function = Readonly<{ selector: Hex; inputs: readonly AbiParameter[] }>;
const functions = new WeakMap<Abi, Map<string, Function>>();

/** Selector and inputs of a function, found and hashed once: every block makes such calls. */
function functionOf(abi: Abi, name: string): Function {
  const known = functions.get(abi) ?? new Map<string, Function>();
  functions.set(abi, known);
  let found = known.get(name);
  if (found === undefined) {
    const items = abi.filter((item) => item.type === 'function' && item.name === name) as AbiFunction[];
    check(items.length === 1, `${name}: one function of this name`);
    const item = present(items[0], 'function');
    found = { selector: toFunctionSelector(item), inputs: item.inputs };
    known.set(name, found);
  }
  return found;
}

/** Calldata of a function. */
export function encodeCall<const abi extends Abi, name extends ContractFunctionName<abi>>(
  abi: abi,
  functionName: name,
  args: ContractFunctionArgs<abi, AbiStateMutability, name>,
): Uint8Array {
  const { selector, inputs } = functionOf(abi, functionName);
  return concat(fromHex(selector), fromHex(encodeAbiParameters(inputs, args as readonly unknown[])));
}

/** What a view returned, decoded; throws when the bytes are not of the function's type. */
export function decodeReturn<const abi extends Abi, name extends ContractFunctionName<abi>>(
  abi: abi,
  functionName: name,
  returned: Uint8Array,
): ContractFunctionReturnType<abi, AbiStateMutability, name> {
  const decoded: unknown = decodeFunctionResult({
    abi: abi as Abi,
    functionName: functionName as string,
    data: toHex(returned),
  });
  return decoded as ContractFunctionReturnType<abi, AbiStateMutability, name>;
}

/** A log decoded, or null when it is none of the ABI's events. */
export function decodeLog<const abi extends Abi>(
  abi: abi,
  log: SystemLog,
): DecodeEventLogReturnType<abi, ContractEventName<abi>, Hex[], Hex, true> | null {
  const [signature, ...rest] = log.topics;
  if (signature === undefined) return null;
  try {
    const decoded: unknown = decodeEventLog({
      abi: abi as Abi,
      data: log.data,
      topics: [signature, ...rest],
      strict: true,
    });
    return decoded as DecodeEventLogReturnType<abi, ContractEventName<abi>, Hex[], Hex, true>;
  } catch {
    return null; // A foreign signature or a damaged log: not one of ours.
  }
}

/** Name and arguments of a custom error, or null when the bytes are none of the contracts' errors. */
export function decodeRevert(returned: Uint8Array): Readonly<{ name: string; args: readonly unknown[] }> | null {
  const abi: Abi = [
    ...authoritiesAbi,
    ...trainersAbi,
    ...learningRoundsAbi,
    ...rewardsAbi,
    ...bondsAbi,
    ...challengesAbi,
  ];
  try {
    const { errorName, args } = decodeErrorResult({ abi, data: toHex(returned) });
    return { name: errorName, args: args ?? [] };
  } catch {
    return null; // Not a custom error of the system contracts: a panic, a string or nothing.
  }
}

/** ABI-encoded constructor arguments, to be put after the creation bytecode. */
export function encodeConstructor(abi: Abi, args: readonly unknown[]): Uint8Array {
  const item = abi.find(({ type }) => type === 'constructor');
  if (item?.type !== 'constructor') return new Uint8Array(0);
  return fromHex(encodeAbiParameters(item.inputs, args));
}
