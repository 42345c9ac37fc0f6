// SPDX-License-Identifier: MIT
// Owns the records of learning rounds and their layout in storage. The rules are RoundAudit and LearningRounds.
pragma solidity 0.8.37;

import {AUTHORITIES, ClaimStatus, IAuthorities, NotAllowed} from "./Protocol.sol";

/// @title Records, events and errors of learning rounds
abstract contract RoundStorage {
    enum Phase {
        Idle,
        Frozen,
        Training,
        Auditing,
        Revealing,
        Judging,
        Attesting,
        Settling,
        Done
    }

    enum RoundOutcome {
        Pending,
        Moved,
        Reverted,
        Void,
        Expired
    }

    enum DisputeState {
        Open,
        Upheld,
        Dismissed,
        Undecided
    }

    /// @dev Units, defaults and reasons: docs/protocol/system-contracts.md. Order is chosen to pack words.
    struct Parameters {
        uint16 minTrainers;
        uint16 maxTrainers;
        uint32 trainBlocks;
        uint32 auditBlocks;
        uint32 graceBlocks;
        uint32 revealBlocks;
        uint32 canaryBlocks;
        uint32 disputeBlocks;
        uint32 attestBlocks;
        uint32 steps;
        uint32 batch;
        uint32 sequenceLength;
        uint32 samplesPerAudit;
        uint32 learningRateNano;
        uint32 warmupSteps;
        uint32 decaySteps;
        uint32 outerEtaNumerator;
        uint16 floorBps;
        uint16 weightCapBps;
        uint8 outerEtaShift;
        uint8 outerMomentum;
        uint16 codec;
        uint32 clipBps;
        uint16 trainerShareBps;
        uint16 auditorShareBps;
        uint16 canaryShareBps;
        uint16 canaryBps;
        uint16 auditFloorBps;
        uint16 auditCostBps;
        uint16 deepReplayBps;
        uint16 recheckBps;
        uint16 auditWeight;
        uint32 halvingRounds;
        uint64 gateMicroNats;
        uint64 maxUpdateBytes;
        uint64 rewardPerTokenGwei;
        uint64 roundCapGwei;
        bytes32 kernelSpec;
        bytes32 programHash;
        bytes32 datasetHash;
        bytes32 trainingConfigHash;
    }

    struct Checkpoint {
        bytes32 blobId;
        bytes32 sha256Hash;
        uint64 size;
    }

    struct Model {
        bytes32 root;
        uint32 version;
        /// @dev Number plus one of the round that made it; 0 for the genesis model.
        uint64 roundPlusOne;
        uint64 heldOutMicroNats;
        Checkpoint checkpoint;
    }

    struct Round {
        uint64 number;
        Phase phase;
        RoundOutcome outcome;
        uint8 rosterSize;
        uint8 committed;
        /// @dev Claims awaited, committed or disputed.
        uint8 undecided;
        uint8 accepted;
        uint16 acceptedCapacity;
        uint16 canaryCapacity;
        uint16 cursor;
        /// @dev Counts rejections by the referee after acceptance: attestations made before one do not count.
        uint8 attempt;
        uint64 deadline;
        uint64 setVersion;
        uint64 frozenBlock;
        uint64 openedBlock;
        /// @dev Block in which the reveals ended, 0 before: the time to accuse an authority runs from it.
        uint64 revealedBlock;
        uint64 dataStart;
        uint32 baseVersion;
        bytes32 seed;
        bytes32 baseRoot;
        /// @dev Bit i: authority i committed its verdicts, and revealed them.
        uint128 sealed_;
        uint128 revealed;
        /// @dev Bit i: authority i attested in this attempt.
        uint128 attested;
        uint128 emissionGwei;
        /// @dev Bit i: authority i lost a dispute, so it earns nothing in this round.
        uint128 penalised;
    }

    struct Claim {
        address trainer;
        uint8 capacity;
        ClaimStatus status;
        uint8 openDisputes;
        uint16 auditRateBps;
        /// @dev Number plus one of the dispute that a quorum of reveals decided already; it is upheld when the reveals ended.
        uint32 ripe;
        /// @dev Rounds in a row, up to the round before, in which this trainer's claims were accepted.
        uint24 carriedRounds;
        uint64 committedBlock;
        uint64 updateSize;
        /// @dev Authorities that were right about a rejected claim.
        uint128 winners;
        uint128 valid;
        uint128 passed;
        uint128 invalid;
        uint128 unavailable;
        bytes32 traceRoot;
        bytes32 gradChainHead;
        bytes32 finalStateRoot;
        bytes32 updateHash;
        bytes32 residualRoot;
        bytes32 canaryHash;
    }

    struct Dispute {
        uint32 step;
        address accuser;
        DisputeState state;
        uint8 seat;
        uint128 invalid;
        uint128 valid;
    }

    /// @notice Rounds whose roster and claims can still be read; older ones are in the logs.
    uint64 public constant KEPT_ROUNDS = 64;
    /// @dev Micro-nats a token: a thousand nats, far above any cross-entropy.
    uint64 internal constant MOST_LOSS = 1_000_000_000;

    Parameters internal rules;
    Model internal base;
    /// @dev The model that `base` followed; all zero while the base is the genesis model.
    Model internal earlier;
    /// @notice Rounds frozen since genesis; the newest is number roundCount - 1.
    uint64 public roundCount;
    /// @notice Rounds that paid since genesis: halvings count these.
    uint64 public paidRounds;
    /// @notice Sequences handed out since genesis.
    uint64 public dataCursor;

    // Rings by number modulo KEPT_ROUNDS, so that state does not grow with rounds.
    mapping(uint256 ring => Round) internal rounds;
    mapping(uint256 ring => mapping(uint256 seat => Claim)) internal claims;
    // By round number. Disputes are rare and kept; tallies are one word a round.
    mapping(uint64 round => Dispute[]) internal disputes;
    mapping(uint64 round => mapping(uint256 seatAndStep => uint256 indexPlusOne)) internal disputeIndex;
    mapping(uint64 round => mapping(bytes32 attestation => uint128 mask)) internal tallies;
    // Hashes of verdicts by authority index, in the ring: `sealed_` says which are of this round.
    mapping(uint256 ring => mapping(uint256 authority => bytes32)) internal seals;
    /// @dev By trainer: number plus one of its last accepted round in the upper bits, such rounds in a row in the lower 24.
    mapping(address trainer => uint256) internal streaks;

    event RosterFrozen(uint64 indexed round, address[] trainers, uint8[] capacities, uint16[] auditRatesBps);
    event RoundOpened(
        uint64 indexed round, bytes32 seed, bytes32 baseRoot, uint32 baseVersion, uint64 dataStart, uint64 deadline
    );
    event PhaseChanged(uint64 indexed round, Phase phase, uint64 deadline);
    event Committed(
        uint64 indexed round,
        address indexed trainer,
        bytes32 baseRoot,
        bytes32 traceRoot,
        bytes32 gradChainHead,
        bytes32 finalStateRoot,
        bytes32 updateHash,
        bytes32 residualRoot,
        bytes32 canaryHash,
        uint64 updateSize,
        bytes32 kernelSpec,
        bytes32 programHash,
        bytes leaves
    );
    event VerdictsSealed(uint64 indexed round, address indexed authority, bytes32 hash);
    /// @notice One record of 38 bytes for each claim: seat u8, kind u8, step u32, digest 32. The proof is that of the draw.
    event VerdictsRevealed(uint64 indexed round, address indexed authority, bytes entries, bytes vrfProof);
    event CanaryOpened(uint64 indexed round, address indexed trainer, uint32 step, bytes32 layer);
    event ClaimRejectedByReferee(uint64 indexed round, address indexed trainer, uint8 attempt);
    event DisputeOpened(uint64 indexed round, address indexed trainer, address indexed accuser, uint32 step);
    event Judged(
        uint64 indexed round, address indexed trainer, address indexed authority, uint32 step, bool invalid
    );
    event DisputeClosed(
        uint64 indexed round, address indexed trainer, address indexed accuser, uint32 step, DisputeState state
    );
    event ClaimDecided(uint64 indexed round, address indexed trainer, ClaimStatus status);
    event Attested(
        uint64 indexed round, address indexed authority, bytes32 modelRoot, uint64 heldOutMicroNats, Checkpoint checkpoint
    );
    event Finalised(
        uint64 indexed round,
        RoundOutcome outcome,
        bytes32 modelRoot,
        uint64 heldOutMicroNats,
        uint32 baseVersion,
        Checkpoint checkpoint
    );
    event RoundSettled(uint64 indexed round, uint256 emissionGwei);

    error NotAuthority(address caller);
    error NotInRoster(address trainer);
    error WrongRound(uint64 round, uint64 current);
    error WrongPhase(Phase phase);
    error WrongClaimStatus(ClaimStatus status);
    error DeadlinePassed(uint64 deadline);
    error BaseMismatch(bytes32 base);
    error SpecMismatch(bytes32 kernelSpec, bytes32 programHash);
    error LeavesLength(uint256 length, uint256 expected);
    error UpdateSize(uint64 size, uint64 most);
    error EmptyHash();
    error LossOutOfRange(uint64 heldOutMicroNats);
    error VerdictUnknown(uint8 verdict);
    error StepOutOfRange(uint32 step);
    error NotSealed(address authority);
    error SealMismatch(bytes32 hash);
    error EntriesLength(uint256 length, uint256 expected);
    error EntryMisplaced(uint8 seat);
    error DigestUnfit(uint8 seat);
    error ProofLength(uint256 length);
    error LayerUnknown(bytes32 layerHash);
    error TicketNotOwned(bytes32 ticket);
    error CanaryMismatch(bytes32 canaryHash);
    error AlreadyGiven(address authority);
    error NoOpenDispute(uint32 step);
    error RoundForgotten(uint64 round);

    /// @dev The newest round; reverts when none was ever frozen or `number` is another.
    function _current(uint64 number) internal view returns (Round storage round) {
        uint64 count = roundCount;
        if (count == 0 || number != count - 1) revert WrongRound(number, count == 0 ? 0 : count - 1);
        return rounds[number % KEPT_ROUNDS];
    }

    function _kept(uint64 number) internal view returns (Round storage round) {
        if (number >= roundCount || number + KEPT_ROUNDS < roundCount) revert RoundForgotten(number);
        return rounds[number % KEPT_ROUNDS];
    }

    function _claim(Round storage round, uint256 seat) internal view returns (Claim storage) {
        return claims[round.number % KEPT_ROUNDS][seat];
    }

    /// @dev The caller's index in the round's set of authorities, and the mask with its bit.
    function _authorityOf(Round storage round) internal view returns (uint128 bit, uint256 index) {
        uint256 indexPlusOne = IAuthorities(AUTHORITIES).seat(round.setVersion, msg.sender);
        if (indexPlusOne == 0) revert NotAuthority(msg.sender);
        index = indexPlusOne - 1;
        bit = uint128(1 << index);
    }

    function _quorum(Round storage round) internal view returns (uint256) {
        return IAuthorities(AUTHORITIES).quorumOf(round.setVersion);
    }

    function _setSize(Round storage round) internal view returns (uint256) {
        return IAuthorities(AUTHORITIES).size(round.setVersion);
    }

    function _enter(Round storage round, Phase phase, uint64 deadline) internal {
        round.phase = phase;
        round.deadline = deadline;
        emit PhaseChanged(round.number, phase, deadline);
    }

    function _bits(uint256 mask) internal pure returns (uint256 count) {
        for (; mask != 0; mask &= mask - 1) ++count;
    }
}
