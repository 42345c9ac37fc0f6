// SPDX-License-Identifier: MIT
// Owns the life of learning rounds: who trains, on what base, until when, what becomes of the model, who is paid.
pragma solidity 0.8.37;

import {
    AUTHORITIES,
    BASIS_POINTS,
    ClaimStatus,
    IAuthorities,
    IRewards,
    ITrainers,
    MAX_AUTHORITIES,
    NotAllowed,
    Outcome,
    Reason,
    REWARDS,
    SYSTEM,
    TRAINERS
} from "./Protocol.sol";
import {RoundAudit} from "./RoundAudit.sol";

/// @title LearningRounds: one round at a time, moved on by the chain at the start of each block and by its members' calls
contract LearningRounds is RoundAudit {
    struct RosterEntry {
        address trainer;
        uint8 capacity;
        ClaimStatus status;
    }

    /// @dev Seats paid, or disputes expired, in one block: bounds the work of onBlock.
    uint256 private constant WORK_PER_BLOCK = 48;
    /// @dev A round this small is settled and followed by the next roster in one block.
    uint256 private constant SMALL_ROUND = 32;

    constructor(Parameters memory parameters_, Model memory model_) {
        rules = parameters_;
        base = model_;
    }

    /// @notice Moves the round on. Only the chain, once at the start of each block.
    function onBlock() external {
        if (msg.sender != SYSTEM) revert NotAllowed(msg.sender);
        if (roundCount == 0) {
            _freeze();
            return;
        }
        Round storage round = rounds[(roundCount - 1) % KEPT_ROUNDS];
        Phase phase = round.phase;
        if (phase == Phase.Done) _freeze();
        else if (phase == Phase.Frozen) _open(round);
        else if (phase == Phase.Training) _tickTraining(round);
        else if (phase == Phase.Auditing) _tickAuditing(round);
        else if (phase == Phase.Attesting) _tickAttesting(round);
        else if (phase == Phase.Settling) _settle(round);
    }

    function _freeze() private {
        if (ITrainers(TRAINERS).activeCount() < rules.minTrainers) return;
        uint64 number = roundCount++;
        (address[] memory trainers, uint8[] memory capacities) = ITrainers(TRAINERS).freeze(number, rules.maxTrainers);
        uint256 ring = number % KEPT_ROUNDS;
        delete rounds[ring];
        Round storage round = rounds[ring];
        round.number = number;
        round.phase = Phase.Frozen;
        round.rosterSize = uint8(trainers.length);
        round.undecided = uint8(trainers.length);
        round.setVersion = IAuthorities(AUTHORITIES).activeVersion();
        round.frozenBlock = uint64(block.number);
        for (uint256 i; i < trainers.length; ++i) {
            Claim storage claim = claims[ring][i];
            claim.trainer = trainers[i];
            claim.capacity = capacities[i];
            claim.status = ClaimStatus.Awaited;
            claim.openDisputes = 0;
            claim.committedBlock = 0;
        }
        emit RosterFrozen(number, trainers, capacities);
    }

    /// @dev A later block than the freeze, so nobody in the roster knew the seed when it was frozen.
    function _open(Round storage round) private {
        uint64 number = round.number;
        uint256 capacity;
        for (uint256 i; i < round.rosterSize; ++i) capacity += _claim(round, i).capacity;
        round.seed = keccak256(abi.encodePacked("round", block.prevrandao, number));
        round.baseRoot = base.root;
        round.baseVersion = base.version;
        round.openedBlock = uint64(block.number);
        round.dataStart = dataCursor;
        dataCursor += uint64(capacity * rules.steps * rules.batch);
        _enter(round, Phase.Training, uint64(block.number) + rules.trainBlocks);
        emit RoundOpened(number, round.seed, base.root, base.version, round.dataStart, round.deadline);
    }

    function _tickTraining(Round storage round) private {
        _expireDisputes(round);
        if (block.number < round.deadline) return;
        for (uint256 i; i < round.rosterSize; ++i) {
            Claim storage claim = _claim(round, i);
            if (claim.status == ClaimStatus.Awaited) _setDecided(round, claim, ClaimStatus.Missed);
        }
        _enterAuditing(round);
    }

    function _tickAuditing(Round storage round) private {
        _expireDisputes(round);
        if (round.undecided != 0 && block.number >= round.deadline) {
            for (uint256 i; i < round.rosterSize; ++i) {
                Claim storage claim = _claim(round, i);
                if (claim.status == ClaimStatus.Committed) _setDecided(round, claim, ClaimStatus.Unresolved);
            }
        }
        _close(round);
    }

    /// @dev Disputes are listed in order of deadline, so the walk stops at the first that still runs.
    function _expireDisputes(Round storage round) private {
        Dispute[] storage list = disputes[round.number];
        uint256 next = round.disputeCursor;
        uint256 end = list.length;
        if (next == end) return;
        if (end > next + WORK_PER_BLOCK) end = next + WORK_PER_BLOCK;
        for (; next < end; ++next) {
            Dispute storage dispute = list[next];
            if (dispute.state != DisputeState.Open) continue;
            Claim storage claim = _claim(round, dispute.seat);
            if (claim.status != ClaimStatus.Disputed) continue;
            if (block.number < dispute.deadline) break;
            _leaveUndecided(round, claim, dispute);
        }
        round.disputeCursor = uint32(next);
    }

    function _tickAttesting(Round storage round) private {
        if (block.number < round.deadline) return;
        round.outcome = RoundOutcome.Expired;
        emit Finalised(
            round.number, RoundOutcome.Expired, base.root, base.heldOutMicroNats, base.version, base.checkpoint
        );
        _enter(round, Phase.Settling, 0);
    }

    /// @notice An authority's computation of the next model, once each. A quorum of equal ones finalises the round.
    function attest(uint64 number, bytes32 modelRoot, uint64 heldOutMicroNats, Checkpoint calldata checkpoint) external {
        Round storage round = _current(number);
        if (round.phase != Phase.Attesting) revert WrongPhase(round.phase);
        if (block.number >= round.deadline) revert DeadlinePassed(round.deadline);
        uint128 bit = _authorityBit(round);
        if (round.attested & bit != 0) revert AlreadyGiven(msg.sender);
        if (modelRoot == 0) revert EmptyHash();
        if (heldOutMicroNats > MOST_LOSS) revert LossOutOfRange(heldOutMicroNats);
        round.attested |= bit;
        bytes32 key = keccak256(abi.encode(modelRoot, heldOutMicroNats, checkpoint));
        uint128 tally = tallies[number][key] | bit;
        emit Attested(number, msg.sender, modelRoot, heldOutMicroNats, checkpoint);
        if (_bits(tally) < _quorum(round)) {
            tallies[number][key] = tally;
            return;
        }
        delete tallies[number][key];
        _finalise(round, modelRoot, heldOutMicroNats, checkpoint);
    }

    /// @dev Held-out loss gates and never pays: a rise beyond the gate keeps the base, the work is paid either way.
    function _finalise(Round storage round, bytes32 modelRoot, uint64 heldOut, Checkpoint calldata checkpoint) private {
        uint256 most = uint256(base.heldOutMicroNats) + rules.gateMicroNats;
        bool rose = base.heldOutMicroNats != 0 && heldOut > most;
        round.outcome = rose ? RoundOutcome.Reverted : RoundOutcome.Moved;
        if (!rose) {
            base.root = modelRoot;
            base.version += 1;
            base.roundPlusOne = round.number + 1;
            base.heldOutMicroNats = heldOut;
            base.checkpoint = checkpoint;
        }
        emit Finalised(round.number, round.outcome, modelRoot, heldOut, base.version, checkpoint);
        _enter(round, Phase.Settling, 0);
    }

    /// @dev Pays a page of seats, then a page of authorities; the cursor counts both.
    function _settle(Round storage round) private {
        uint256 next = round.cursor;
        if (next == 0) _fixEmission(round);
        uint256 roster = round.rosterSize;
        uint256 total = round.emissionGwei == 0 ? roster : roster + _setSize(round);
        uint256 end = next + WORK_PER_BLOCK < total ? next + WORK_PER_BLOCK : total;
        for (; next < end && next < roster; ++next) _settleSeat(round, _claim(round, next));
        if (next < end) _settleAuthorities(round, next - roster, end - roster);
        round.cursor = uint16(end);
        if (end < total) return;
        round.phase = Phase.Done;
        ITrainers(TRAINERS).finishRound(round.number);
        emit PhaseChanged(round.number, Phase.Done, 0);
        emit RoundSettled(round.number, round.emissionGwei);
        if (total <= SMALL_ROUND) _freeze();
    }

    function _fixEmission(Round storage round) private {
        if (round.accepted == 0) return;
        uint256 tokens = uint256(round.acceptedCapacity) * rules.steps * rules.batch * rules.sequenceLength;
        uint256 emission = tokens * rules.rewardPerTokenGwei;
        uint256 halvings = paidRounds / rules.halvingRounds;
        uint256 cap = halvings < 64 ? rules.roundCapGwei >> halvings : 0;
        round.emissionGwei = uint128(emission < cap ? emission : cap);
        ++paidRounds;
    }

    function _settleSeat(Round storage round, Claim storage claim) private {
        Outcome outcome = _outcome(round, claim);
        uint256 pay;
        if (outcome == Outcome.Accepted) {
            uint256 share = (uint256(round.emissionGwei) * rules.trainerShareBps) / BASIS_POINTS;
            pay = (share * claim.capacity) / round.acceptedCapacity;
        }
        uint256 released = ITrainers(TRAINERS).settle(round.number, claim.trainer, outcome, pay);
        if (released != 0) IRewards(REWARDS).append(claim.trainer, released, Reason.Training);
    }

    function _outcome(Round storage round, Claim storage claim) private view returns (Outcome) {
        ClaimStatus status = claim.status;
        if (status == ClaimStatus.Accepted) return Outcome.Accepted;
        if (status == ClaimStatus.Rejected) return Outcome.Rejected;
        if (status == ClaimStatus.Missed) return Outcome.Missed;
        bool stalled = _bits(claim.unavailable) > _setSize(round) - _quorum(round);
        return stalled ? Outcome.Stalled : Outcome.Unresolved;
    }

    /// @dev The auditors' share, by the number of claims each was right about; authorities `from` to `to` of it.
    function _settleAuthorities(Round storage round, uint256 from, uint256 to) private {
        uint256 share = (uint256(round.emissionGwei) * rules.auditorShareBps) / BASIS_POINTS;
        if (share == 0) return;
        uint256[MAX_AUTHORITIES] memory weights;
        uint256 total;
        uint256 excluded = round.penalised;
        for (uint256 i; i < round.rosterSize; ++i) {
            Claim storage claim = _claim(round, i);
            uint256 right = claim.status == ClaimStatus.Accepted
                ? claim.valid
                : claim.status == ClaimStatus.Rejected ? claim.winners : 0;
            right &= ~excluded;
            for (uint256 a; right != 0; (right >>= 1, ++a)) {
                if (right & 1 == 0) continue;
                ++weights[a];
                ++total;
            }
        }
        if (total == 0) return;
        for (uint256 a = from; a < to; ++a) {
            uint256 pay = (share * weights[a]) / total;
            if (pay == 0) continue;
            address authority = IAuthorities(AUTHORITIES).member(round.setVersion, a);
            IRewards(REWARDS).append(authority, pay, Reason.Auditing);
        }
    }

    /// @notice Queues what has vested for a trainer that is in no roster any more. Anyone may call.
    function releaseVested(address trainer) external {
        uint256 released = ITrainers(TRAINERS).release(trainer);
        if (released != 0) IRewards(REWARDS).append(trainer, released, Reason.Training);
    }

    /// @notice The model that the next round starts from.
    function model() external view returns (Model memory) {
        return base;
    }

    /// @notice The numbers of the rules, set in genesis.
    function parameters() external view returns (Parameters memory) {
        return rules;
    }

    /// @notice A round of the newest KEPT_ROUNDS with its roster in seat order.
    function roundAt(uint64 number) external view returns (Round memory record, RosterEntry[] memory roster) {
        record = _kept(number);
        roster = new RosterEntry[](record.rosterSize);
        for (uint256 i; i < roster.length; ++i) {
            Claim storage claim = claims[number % KEPT_ROUNDS][i];
            roster[i] = RosterEntry(claim.trainer, claim.capacity, claim.status);
        }
    }

    /// @notice A claim with its disputes, by round and trainer. Hashes are zero until it was committed.
    function claimOf(uint64 number, address trainer)
        external
        view
        returns (uint256 seat, Claim memory claim, Dispute[] memory list)
    {
        Round storage round = _kept(number);
        uint256 size = round.rosterSize;
        while (seat < size && _claim(round, seat).trainer != trainer) ++seat;
        if (seat == size) revert NotInRoster(trainer);
        claim = _claim(round, seat);
        if (claim.committedBlock == 0) {
            claim = Claim(trainer, claim.capacity, claim.status, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
        }
        list = _disputesOf(number, seat, claim.status);
    }

    function _disputesOf(uint64 number, uint256 seat, ClaimStatus status) private view returns (Dispute[] memory list) {
        Dispute[] storage all = disputes[number];
        uint256 count;
        for (uint256 i; i < all.length; ++i) if (all[i].seat == seat) ++count;
        list = new Dispute[](count);
        for (uint256 i = all.length; count != 0; ) {
            if (all[--i].seat != seat) continue;
            list[--count] = all[i];
            // Open disputes of a decided claim fell away with it.
            if (status != ClaimStatus.Disputed && list[count].state == DisputeState.Open) {
                list[count].state = DisputeState.Undecided;
            }
        }
    }
}
