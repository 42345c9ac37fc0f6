// SPDX-License-Identifier: MIT
// Owns open challenges: anyone may prove one false training step of an accepted claim. Moves, timers, bonds and consequences;
// what a proof is made of is ChallengeProof.sol. Rules: docs/protocol/challenges.md.
pragma solidity 0.8.37;

import {ChallengeProof, REFEREE} from "./ChallengeProof.sol";
import {MerkleTree} from "./MerkleTree.sol";
import {
    AUTHORITIES,
    BASIS_POINTS,
    BONDS,
    ClaimStatus,
    IAuthorities,
    IBonds,
    IRewards,
    ITrainers,
    LEARNING_ROUNDS,
    REWARDS,
    TRAINERS
} from "./Protocol.sol";
import {Opening, Operand} from "./RefereeWitness.sol";
import {RoundStorage} from "./RoundStorage.sol";

interface ILearningRounds {
    struct RosterEntry {
        address trainer;
        uint8 capacity;
        ClaimStatus status;
        uint16 auditRateBps;
    }

    function roundAt(uint64 number)
        external
        view
        returns (RoundStorage.Round memory record, RosterEntry[] memory roster);
    function claimOf(uint64 number, address trainer)
        external
        view
        returns (uint256 seat, RoundStorage.Claim memory claim, RoundStorage.Dispute[] memory list);
    function rejectByReferee(uint64 number, address trainer) external returns (bool);
}

/// @title Challenges: a claim that anyone can prove false does not stand, whoever approved it
contract Challenges is ChallengeProof {
    uint8 private constant CHALLENGED = 1;
    uint8 private constant ANSWERED = 2;
    uint8 private constant ASKED = 3;
    uint8 private constant UPHELD = 4;
    uint8 private constant DISMISSED = 5;
    uint8 private constant MOOT = 6;
    /// @dev The step of a dispute over the claim as a whole.
    uint32 private constant STRUCTURE = type(uint32).max;

    /// @dev Questions of one challenge: three open a tree of 2^21 leaves and a leaf of it, two are for another leaf.
    uint256 private constant MAX_ASKS = 5;
    /// @dev Open challenges of one claim: fewer could be occupied by an accomplice, more could not be answered in time.
    uint256 private constant MAX_OPEN = 8;
    /// @dev Share of a lost bond that is burned; the rest is the trainer's, for its answers.
    uint256 private constant BURN_BPS = 8_000;

    ILearningRounds private constant ROUNDS = ILearningRounds(LEARNING_ROUNDS);

    uint256 public challengeCount;
    /// @notice Bonds of open challenges and coins to be collected: what this contract holds.
    uint256 public totalBonds;
    uint256 public totalCredit;
    mapping(address account => uint256) public credit;
    /// @notice Open challenges against a trainer: its stake stays while there is one.
    mapping(address trainer => uint256) public openAgainst;
    mapping(uint256 id => Challenge) private challenges;
    mapping(bytes32 claim => uint256) private openOf;
    mapping(bytes32 claim => bool) private provenFalse;
    /// @dev Judgements that were held to a proof: once for a step of a claim.
    mapping(bytes32 claimAndStep => bool) private held;

    event Challenged(
        uint256 indexed id,
        uint64 indexed round,
        address indexed trainer,
        address challenger,
        uint32 step,
        uint64 deadline
    );
    event Answered(uint256 indexed id, Leaf leaf, bytes32 stateBefore, bytes32[] roots, uint64 deadline);
    event Asked(uint256 indexed id, Node node, uint64 deadline);
    event Revealed(uint256 indexed id, bytes32 root, uint8 level, uint32 index, bytes32[] nodes, bytes leaf, uint64 deadline);
    event Closed(uint256 indexed id, uint8 state, bytes32 reason);
    event FinalStateRefuted(uint64 indexed round, address indexed trainer, address indexed challenger);
    event JudgeHeld(address indexed authority, uint64 setVersion, uint32 step);
    event Collected(address indexed account, uint256 amountWei);

    error WrongBond(uint256 amountWei, uint256 neededWei);
    error WrongStatus(ClaimStatus status);
    error WrongPhase(RoundStorage.Phase phase);
    error WindowOver(uint64 lastBlock);
    error StepOutOfRange(uint32 step);
    error TooManyOpen(uint256 open);
    error AlreadyProven();
    error NotYourMove(address caller);
    error WrongState(uint8 state);
    error DeadlinePassed(uint64 deadline);
    error DeadlineAhead(uint64 deadline);
    error AnswerRefused();
    error QuestionRefused();
    error NotFalse();
    error NothingToCollect();
    error TransferFailed();

    constructor(Parameters memory parameters_) {
        rules = parameters_;
    }

    /// @notice Claims that leaf `step` of a claim nobody rejected does not follow from the leaf before. The bond is sent along.
    function challenge(uint64 round, address trainer, uint32 step) external payable returns (uint256 id) {
        uint256 bond = uint256(rules.bondGwei) * 1 gwei;
        if (msg.value != bond || rules.programRoot == 0) revert WrongBond(msg.value, bond);
        if (step >= rules.steps) revert StepOutOfRange(step);
        bytes32 key = _key(round, trainer);
        if (provenFalse[key]) revert AlreadyProven();
        if (openOf[key] == MAX_OPEN) revert TooManyOpen(MAX_OPEN);
        id = ++challengeCount;
        Challenge storage c = challenges[id];
        _bind(c, round, trainer, step);
        c.challenger = msg.sender;
        c.state = CHALLENGED;
        c.deadline = uint64(block.number) + rules.answerBlocks;
        ++openOf[key];
        ++openAgainst[trainer];
        totalBonds += bond;
        emit Challenged(id, round, trainer, msg.sender, step, c.deadline);
    }

    /// @dev Everything of round and claim that a proof needs, so that it outlives the ring of rounds.
    function _bind(Challenge storage c, uint64 round, address trainer, uint32 step) private {
        (RoundStorage.Round memory record, ILearningRounds.RosterEntry[] memory roster) = ROUNDS.roundAt(round);
        (uint256 seat, RoundStorage.Claim memory claim, RoundStorage.Dispute[] memory list) =
            ROUNDS.claimOf(round, trainer);
        _checkClaim(record, claim);
        uint256 before;
        for (uint256 i; i < seat; ++i) before += roster[i].capacity;
        uint256 rows = uint256(claim.capacity) * rules.batch;
        c.trainer = trainer;
        c.round = round;
        c.step = step;
        c.capacity = claim.capacity;
        c.position = uint64(record.dataStart + before * rules.steps * rules.batch + step * rows);
        c.number = uint64(record.baseVersion) * rules.steps + step;
        c.seed = uint64(
            bytes8(
                sha256(
                    abi.encodePacked(sha256("pol-node/stochastic-rounding"), record.seed, uint32(seat), step)
                )
            )
        );
        c.traceRoot = claim.traceRoot;
        c.baseRoot = record.baseRoot;
        c.setVersion = record.setVersion;
        c.deniers = _deniersOf(list, step);
        if (!rules.carryMoments || claim.carriedRounds == 0) return;
        c.seen = uint64(claim.carriedRounds) * rules.steps;
        // The round before must be among those kept, or nobody can say what this one started from.
        (, RoundStorage.Claim memory earlier,) = ROUNDS.claimOf(round - 1, trainer);
        c.carriedRoot = earlier.finalStateRoot;
    }

    /// @dev Authorities that judged a step true in its dispute. From attesting on nobody judges any more.
    function _deniersOf(RoundStorage.Dispute[] memory list, uint32 step) private pure returns (uint128) {
        for (uint256 i; i < list.length; ++i) if (list[i].step == step) return list[i].valid;
        return 0;
    }

    /// @dev Accepted, or left without a decision; and past the phase in which a claim may still turn out to be a canary.
    function _checkClaim(RoundStorage.Round memory record, RoundStorage.Claim memory claim) private view {
        if (claim.status != ClaimStatus.Accepted && claim.status != ClaimStatus.Unresolved) {
            revert WrongStatus(claim.status);
        }
        if (record.phase < RoundStorage.Phase.Attesting) revert WrongPhase(record.phase);
        uint64 last = claim.committedBlock + rules.windowBlocks;
        if (block.number > last) revert WindowOver(last);
    }

    /// @notice The trainer's answer: the accused leaf and the one before, opened against its trace root, and one root for every
    /// tensor of the step's dispute list. At step 0 there is no leaf before: `earlier` is not read.
    function answer(
        uint256 id,
        Program calldata program,
        Leaf calldata leaf,
        bytes32[] calldata siblings,
        Leaf calldata earlier,
        bytes32[] calldata earlierSiblings,
        bytes32[] calldata roots
    ) external {
        Challenge storage c = _move(id, CHALLENGED);
        if (msg.sender != c.trainer) revert NotYourMove(msg.sender);
        _checkProgram(program, c.capacity);
        if (roots.length != program.entries || !_opensLeaf(c, leaf, c.step, siblings)) revert AnswerRefused();
        bytes32 stateBefore = c.baseRoot;
        if (c.step != 0) {
            if (!_opensLeaf(c, earlier, c.step - 1, earlierSiblings)) revert AnswerRefused();
            stateBefore = earlier.stateRoot;
        }
        c.answerHash = keccak256(
            abi.encode(
                Answer(
                    stateBefore,
                    leaf.stateRoot,
                    leaf.gradRoot,
                    leaf.lossBits,
                    MerkleTree.fold(roots),
                    program.records,
                    program.recordCount,
                    program.entries
                )
            )
        );
        c.state = ANSWERED;
        c.deadline = uint64(block.number) + rules.proveBlocks;
        emit Answered(id, leaf, stateBefore, roots, c.deadline);
    }

    /// @notice Asks the trainer to disclose a node of the tree that operand `operand` of a record lies in.
    function ask(
        uint256 id,
        Answer calldata a,
        RecordProof calldata proof,
        uint256 operand,
        Entry[] calldata entries,
        uint8 level,
        uint32 index
    ) external {
        Challenge storage c = _move(id, ANSWERED);
        if (msg.sender != c.challenger) revert NotYourMove(msg.sender);
        _checkAnswer(c, a);
        _checkRecord(a, proof);
        bytes calldata source = _source(proof.record, operand);
        // Only what the trainer made can be asked for: the list, the state after the step, the gradients.
        if (source[0] != 0 && source[0] != 0x02 && source[0] != 0x03) revert QuestionRefused();
        if (entries.length != (_isListed(source) ? 1 : 0) || c.asks == MAX_ASKS) revert QuestionRefused();
        Operand memory tree = _tensor(c, a, source, entries, 0);
        if (level > 32 || index >= _width(tree.leaves, level)) revert QuestionRefused();
        ++c.asks;
        Node memory node = _node(tree, uint8(source[0]), level, index);
        c.questionHash = keccak256(abi.encode(node));
        c.state = ASKED;
        c.deadline = uint64(block.number) + rules.answerBlocks;
        emit Asked(id, node, c.deadline);
    }

    /// @notice The trainer discloses the node asked for: its nodes seven levels down, or the bytes of a leaf.
    function reveal(
        uint256 id,
        Node calldata node,
        bytes32[] calldata nodes,
        bytes calldata leaf,
        bytes32[] calldata siblings
    ) external {
        Challenge storage c = _move(id, ASKED);
        if (msg.sender != c.trainer) revert NotYourMove(msg.sender);
        if (keccak256(abi.encode(node)) != c.questionHash) revert QuestionRefused();
        if (!_discloses(node, nodes, leaf, siblings)) revert AnswerRefused();
        c.state = ANSWERED;
        c.deadline = uint64(block.number) + rules.proveBlocks;
        emit Revealed(id, node.root, node.level, node.index, nodes, leaf, c.deadline);
    }

    /// @notice Shows one false piece of one instruction. Anyone may send it; the challenger is paid.
    function prove(
        uint256 id,
        Answer calldata a,
        RecordProof calldata proof,
        uint32[] calldata selected,
        Entry[] calldata entries,
        Schedule calldata schedule,
        Opening[] calldata witness
    ) external {
        Challenge storage c = _move(id, ANSWERED);
        _checkAnswer(c, a);
        _checkRecord(a, proof);
        if (REFEREE.judge(_piece(c, a, proof.record, selected, entries, schedule), witness)) revert NotFalse();
        _uphold(id, c, "piece");
        _holdJudges(_key(c.round, c.trainer), c.step, c.setVersion, c.deniers, c.challenger);
    }

    /// @notice Shows a token or target that is not the data order's.
    function proveInput(uint256 id, Answer calldata a, InputProof calldata proof) external {
        Challenge storage c = _move(id, ANSWERED);
        _checkAnswer(c, a);
        if (_inputHolds(c, a, proof)) revert NotFalse();
        _uphold(id, c, "input");
        _holdJudges(_key(c.round, c.trainer), c.step, c.setVersion, c.deniers, c.challenger);
    }

    /// @notice Shows that a claim's final state is not that of its last leaf. No game is needed, and no bond.
    function proveFinalState(uint64 round, address trainer, Leaf calldata leaf, bytes32[] calldata siblings) external {
        bytes32 key = _key(round, trainer);
        if (provenFalse[key]) revert AlreadyProven();
        (RoundStorage.Round memory record,) = ROUNDS.roundAt(round);
        (, RoundStorage.Claim memory claim, RoundStorage.Dispute[] memory list) = ROUNDS.claimOf(round, trainer);
        _checkClaim(record, claim);
        if (_leafRoot(leaf, rules.steps - 1, siblings) != claim.traceRoot) revert AnswerRefused();
        if (leaf.stateRoot == claim.finalStateRoot) revert NotFalse();
        emit FinalStateRefuted(round, trainer, msg.sender);
        _punish(key, round, trainer, msg.sender);
        _holdJudges(key, STRUCTURE, record.setVersion, _deniersOf(list, STRUCTURE), msg.sender);
    }

    /// @notice Ends a challenge whose mover is late, or whose claim was proven false in another. Anyone may send it; while
    /// judges can be held to the step, only its challenger gives it up before the deadline.
    function settle(uint256 id) external {
        Challenge storage c = challenges[id];
        uint8 state = c.state;
        if (state != CHALLENGED && state != ANSWERED && state != ASKED) revert WrongState(state);
        bool given = c.deniers == 0 || msg.sender == c.challenger || block.number > c.deadline;
        if (given && provenFalse[_key(c.round, c.trainer)]) {
            _end(id, c, MOOT, "proven elsewhere");
            _give(c.challenger, uint256(rules.bondGwei) * 1 gwei);
            return;
        }
        if (block.number <= c.deadline) revert DeadlineAhead(c.deadline);
        if (state != ANSWERED) {
            _uphold(id, c, "no answer");
            return;
        }
        _end(id, c, DISMISSED, "no proof");
        uint256 bond = uint256(rules.bondGwei) * 1 gwei;
        uint256 burned = (bond * BURN_BPS) / BASIS_POINTS;
        _give(c.trainer, bond - burned);
        IRewards(REWARDS).burn{value: burned}();
    }

    /// @notice Pays out what the caller won or got back here.
    function collect() external {
        uint256 amount = credit[msg.sender];
        if (amount == 0) revert NothingToCollect();
        credit[msg.sender] = 0;
        totalCredit -= amount;
        emit Collected(msg.sender, amount);
        (bool sent,) = msg.sender.call{value: amount}("");
        if (!sent) revert TransferFailed();
    }

    function challengeAt(uint256 id) external view returns (Challenge memory) {
        return challenges[id];
    }

    function parameters() external view returns (Parameters memory) {
        return rules;
    }

    /// @dev The challenge when it awaits this move and is not late for it.
    function _move(uint256 id, uint8 state) private view returns (Challenge storage c) {
        c = challenges[id];
        if (c.state != state) revert WrongState(c.state);
        if (block.number > c.deadline) revert DeadlinePassed(c.deadline);
    }

    function _checkAnswer(Challenge storage c, Answer calldata a) private view {
        if (keccak256(abi.encode(a)) != c.answerHash) revert AnswerRefused();
    }

    function _uphold(uint256 id, Challenge storage c, bytes32 reason) private {
        bytes32 key = _key(c.round, c.trainer);
        bool first = !provenFalse[key];
        _end(id, c, first ? UPHELD : MOOT, reason);
        _give(c.challenger, uint256(rules.bondGwei) * 1 gwei);
        if (first) _punish(key, c.round, c.trainer, c.challenger);
    }

    /// @dev The stake is taken once for a claim; a round that is not settled drops it.
    function _punish(bytes32 key, uint64 round, address trainer, address challenger) private {
        provenFalse[key] = true;
        ROUNDS.rejectByReferee(round, trainer);
        ITrainers(TRAINERS).slash(round, trainer, challenger);
    }

    /// @dev Whoever judged true what the referee found false said so of an execution that gives other bits: its whole bond is
    /// taken. A trainer that was merely late proves nothing about its judges.
    function _holdJudges(bytes32 key, uint32 step, uint64 setVersion, uint128 judges, address beneficiary) private {
        bytes32 once = keccak256(abi.encode(key, step));
        if (judges == 0 || held[once]) return;
        held[once] = true;
        for (uint256 i; judges != 0; (judges >>= 1, ++i)) {
            if (judges & 1 == 0) continue;
            address judge = IAuthorities(AUTHORITIES).member(setVersion, i);
            IBonds(BONDS).slash(judge, uint16(BASIS_POINTS), beneficiary);
            emit JudgeHeld(judge, setVersion, step);
        }
    }

    /// @dev Takes the bond out of the open ones; the caller says whose it is now.
    function _end(uint256 id, Challenge storage c, uint8 state, bytes32 reason) private {
        c.state = state;
        c.questionHash = 0;
        --openOf[_key(c.round, c.trainer)];
        --openAgainst[c.trainer];
        totalBonds -= uint256(rules.bondGwei) * 1 gwei;
        emit Closed(id, state, reason);
    }

    function _give(address account, uint256 amount) private {
        credit[account] += amount;
        totalCredit += amount;
    }

    function _key(uint64 round, address trainer) private pure returns (bytes32) {
        return keccak256(abi.encode(round, trainer));
    }
}
