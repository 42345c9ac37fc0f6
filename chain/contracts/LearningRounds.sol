// SPDX-License-Identifier: MIT
// Owns the life of learning rounds: who trains, on what base, until when, what becomes of the model, who is paid.
pragma solidity 0.8.37;

import {
    AUTHORITIES,
    BASIS_POINTS,
    BONDS,
    CHALLENGES,
    ClaimStatus,
    IAuthorities,
    IBonds,
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
        uint16 auditRateBps;
    }

    /// @dev Seats paid in one block, and claims rejected in one: bounds the work of onBlock.
    uint256 private constant WORK_PER_BLOCK = 48;
    uint256 private constant REJECTED_PER_BLOCK = 24;
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
        else if (phase == Phase.Revealing) _tickRevealing(round);
        else if (phase == Phase.Judging) _tickJudging(round);
        else if (phase == Phase.Attesting) _tickAttesting(round);
        else if (phase == Phase.Settling) _settle(round);
    }

    function _freeze() private {
        if (ITrainers(TRAINERS).activeCount() < rules.minTrainers) return;
        uint64 number = roundCount++;
        (address[] memory trainers, uint8[] memory capacities, uint256[] memory security) =
            ITrainers(TRAINERS).freeze(number, rules.maxTrainers);
        uint16[] memory rates = new uint16[](trainers.length);
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
            claim.ripe = 0;
            rates[i] = _auditRate(capacities[i], security[i]);
            claim.auditRateBps = rates[i];
            claim.committedBlock = 0;
        }
        emit RosterFrozen(number, trainers, capacities, rates);
    }

    /// @dev The more a trainer would lose, the more rarely its claims are executed: 2 x cost / (stake + unvested + pay).
    function _auditRate(uint256 capacity, uint256 securityGwei) private view returns (uint16) {
        uint256 pay = capacity * rules.steps * rules.batch * rules.sequenceLength * rules.rewardPerTokenGwei
            * rules.trainerShareBps / BASIS_POINTS;
        uint256 atStake = securityGwei + pay;
        uint256 rate = atStake == 0 ? BASIS_POINTS : 2 * pay * rules.auditCostBps / atStake;
        if (rate < rules.auditFloorBps) return rules.auditFloorBps;
        return uint16(rate < BASIS_POINTS ? rate : BASIS_POINTS);
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
        if (block.number < round.deadline) return;
        for (uint256 i; i < round.rosterSize; ++i) {
            Claim storage claim = _claim(round, i);
            if (claim.status == ClaimStatus.Awaited) _setDecided(round, claim, ClaimStatus.Missed);
        }
        if (round.committed == 0) _close(round);
        else _enterAuditing(round);
    }

    function _tickAuditing(Round storage round) private {
        if (block.number >= round.deadline) _enterRevealing(round);
    }

    /// @dev At the start of a block only, so that a canary opened in the block of the last reveal is never late; and not
    /// before `canaryBlocks` whole blocks have passed.
    function _tickRevealing(Round storage round) private {
        uint64 entered = round.deadline - rules.revealBlocks;
        bool complete = round.revealed == round.sealed_ && block.number > entered + rules.canaryBlocks;
        if (!complete && block.number < round.deadline) return;
        round.revealedBlock = uint64(block.number);
        uint256 quorum = _quorum(round);
        for (uint256 i; i < round.rosterSize; ++i) {
            Claim storage claim = _claim(round, i);
            if (claim.status != ClaimStatus.Committed) continue;
            if (claim.openDisputes != 0) claim.status = ClaimStatus.Disputed;
            else _decide(round, claim, quorum);
        }
        if (round.undecided != 0) _enter(round, Phase.Judging, uint64(block.number) + rules.disputeBlocks);
        else _close(round);
    }

    /// @dev Upholds what a quorum of reveals found by itself; at the deadline gives up what no quorum judged.
    function _tickJudging(Round storage round) private {
        bool over = block.number >= round.deadline;
        uint256 done;
        for (uint256 i; i < round.rosterSize && done < REJECTED_PER_BLOCK; ++i) {
            Claim storage claim = _claim(round, i);
            if (claim.status != ClaimStatus.Disputed) continue;
            if (claim.ripe != 0) _uphold(round, claim, disputes[round.number][claim.ripe - 1]);
            else if (over) _setDecided(round, claim, ClaimStatus.Unresolved);
            else continue;
            ++done;
        }
        _close(round);
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
        (uint128 bit,) = _authorityOf(round);
        if (round.attested & bit != 0) revert AlreadyGiven(msg.sender);
        if (modelRoot == 0) revert EmptyHash();
        if (heldOutMicroNats > MOST_LOSS) revert LossOutOfRange(heldOutMicroNats);
        round.attested |= bit;
        bytes32 key = keccak256(abi.encode(round.attempt, modelRoot, heldOutMicroNats, checkpoint));
        uint128 tally = tallies[number][key] | bit;
        emit Attested(number, msg.sender, modelRoot, heldOutMicroNats, checkpoint);
        if (_bits(tally) < _quorum(round)) {
            tallies[number][key] = tally;
            return;
        }
        delete tallies[number][key];
        _finalise(round, modelRoot, heldOutMicroNats, checkpoint);
    }

    /// @notice Takes a claim back that the referee found false. Only the contract of challenges.
    /// @return rejected False when the round is not the running one, or its claim was rejected or paid already.
    /// In attesting, the attestations made so far no longer count: they were of a sum with that claim.
    function rejectByReferee(uint64 number, address trainer) external returns (bool rejected) {
        if (msg.sender != CHALLENGES) revert NotAllowed(msg.sender);
        if (number + 1 != roundCount) return false;
        Round storage round = rounds[number % KEPT_ROUNDS];
        (uint64 roundPlusOne, uint8 seat) = ITrainers(TRAINERS).seatOf(trainer);
        Claim storage claim = _claim(round, seat);
        bool counted = claim.status == ClaimStatus.Accepted;
        if (roundPlusOne != number + 1 || !(counted || claim.status == ClaimStatus.Unresolved)) return false;
        // Once pay is being given out its shares are fixed.
        if (round.phase == Phase.Done || (round.cursor != 0 && round.cursor > seat)) return false;
        claim.status = ClaimStatus.Rejected;
        if (counted && round.cursor == 0) {
            --round.accepted;
            round.acceptedCapacity -= claim.capacity;
        }
        emit ClaimRejectedByReferee(number, trainer, round.attempt + 1);
        emit ClaimDecided(number, trainer, ClaimStatus.Rejected);
        if (counted && round.phase == Phase.Attesting) {
            ++round.attempt;
            round.attested = 0;
            _close(round);
        }
        return true;
    }

    /// @dev Held-out loss gates and never pays: a rise beyond the gate keeps the base, the work is paid either way.
    function _finalise(Round storage round, bytes32 modelRoot, uint64 heldOut, Checkpoint calldata checkpoint) private {
        uint256 most = uint256(base.heldOutMicroNats) + rules.gateMicroNats;
        bool rose = base.heldOutMicroNats != 0 && heldOut > most;
        round.outcome = rose ? RoundOutcome.Reverted : RoundOutcome.Moved;
        if (!rose) {
            earlier = base;
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
        uint256 capacity = _paidCapacity(round);
        if (capacity == 0) return;
        uint256 tokens = capacity * rules.steps * rules.batch * rules.sequenceLength;
        uint256 emission = tokens * rules.rewardPerTokenGwei;
        uint256 halvings = paidRounds / rules.halvingRounds;
        uint256 cap = halvings < 64 ? rules.roundCapGwei >> halvings : 0;
        round.emissionGwei = uint128(emission < cap ? emission : cap);
        ++paidRounds;
    }

    /// @dev Canaries are work too, though no part of the sum.
    function _paidCapacity(Round storage round) private view returns (uint256) {
        return uint256(round.acceptedCapacity) + round.canaryCapacity;
    }

    function _settleSeat(Round storage round, Claim storage claim) private {
        Outcome outcome = _outcome(round, claim);
        if (claim.status == ClaimStatus.Accepted) {
            uint256 inARow = uint256(claim.carriedRounds) + 1;
            if (inARow > type(uint24).max) inARow = type(uint24).max;
            streaks[claim.trainer] = (uint256(round.number) + 1) << 24 | inARow;
        }
        uint256 pay;
        if (outcome == Outcome.Accepted) {
            uint256 part = (uint256(round.emissionGwei) * claim.capacity) / _paidCapacity(round);
            uint256 shares = rules.trainerShareBps;
            if (claim.status == ClaimStatus.Canary) shares += rules.canaryShareBps;
            pay = (part * shares) / BASIS_POINTS;
        }
        uint256 released = ITrainers(TRAINERS).settle(round.number, claim.trainer, outcome, pay);
        if (released != 0) IRewards(REWARDS).append(claim.trainer, released, Reason.Training);
    }

    function _outcome(Round storage round, Claim storage claim) private view returns (Outcome) {
        ClaimStatus status = claim.status;
        if (status == ClaimStatus.Accepted || status == ClaimStatus.Canary) return Outcome.Accepted;
        if (status == ClaimStatus.Rejected) return Outcome.Rejected;
        if (status == ClaimStatus.Missed) return Outcome.Missed;
        bool stalled = _bits(claim.unavailable) > _setSize(round) - _quorum(round);
        return stalled ? Outcome.Stalled : Outcome.Unresolved;
    }

    /// @dev The auditors' share, by what each found right: an executed verdict counts `auditWeight`, a claim passed by lot
    /// counts one. Authorities `from` to `to` of it; one without its bond gets nothing.
    function _settleAuthorities(Round storage round, uint256 from, uint256 to) private {
        uint256 share = (uint256(round.emissionGwei) * rules.auditorShareBps) / BASIS_POINTS;
        if (share == 0) return;
        uint256[MAX_AUTHORITIES] memory weights;
        uint256 total;
        uint256 counted = ~uint256(round.penalised);
        uint256 weight = rules.auditWeight;
        for (uint256 i; i < round.rosterSize; ++i) {
            (uint256 executed, uint256 passed) = _right(_claim(round, i));
            total += _add(weights, executed & counted, weight) + _add(weights, passed & counted, 1);
        }
        if (total == 0) return;
        for (uint256 a = from; a < to; ++a) {
            uint256 pay = (share * weights[a]) / total;
            if (pay == 0) continue;
            address authority = IAuthorities(AUTHORITIES).member(round.setVersion, a);
            if (!IBonds(BONDS).bonded(authority)) continue;
            IRewards(REWARDS).append(authority, pay, Reason.Auditing);
        }
    }

    /// @dev Masks of the authorities that were right about a claim: by execution, and by passing it.
    function _right(Claim storage claim) private view returns (uint256 executed, uint256 passed) {
        ClaimStatus status = claim.status;
        if (status == ClaimStatus.Accepted) return (claim.valid, claim.passed);
        if (status == ClaimStatus.Canary) return (claim.valid | claim.invalid, claim.passed);
        if (status == ClaimStatus.Rejected) return (claim.winners, 0);
    }

    function _add(uint256[MAX_AUTHORITIES] memory weights, uint256 mask, uint256 weight)
        private
        pure
        returns (uint256 sum)
    {
        for (uint256 a; mask != 0; (mask >>= 1, ++a)) {
            if (mask & 1 == 0) continue;
            weights[a] += weight;
            sum += weight;
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

    /// @notice The model that it followed; all zero while it is the genesis model.
    function earlierModel() external view returns (Model memory) {
        return earlier;
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
            roster[i] = RosterEntry(claim.trainer, claim.capacity, claim.status, claim.auditRateBps);
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
            Claim memory blank;
            (blank.trainer, blank.capacity, blank.status) = (trainer, claim.capacity, claim.status);
            blank.auditRateBps = claim.auditRateBps;
            claim = blank;
        }
        list = _disputesOf(number, seat, claim.status);
    }

    /// @notice What an authority revealed about a seat of a round that is kept: 1 VALID, 2 INVALID, 3 UNAVAILABLE, 4 PASSED,
    /// 0 nothing. `revealedBlock` is 0 while the reveals go on.
    function entryOf(uint64 number, address authority, uint8 seat)
        external
        view
        returns (uint64 setVersion, uint64 revealedBlock, uint8 kind, ClaimStatus status)
    {
        Round storage round = _kept(number);
        (setVersion, revealedBlock) = (round.setVersion, round.revealedBlock);
        uint256 indexPlusOne = IAuthorities(AUTHORITIES).seat(setVersion, authority);
        if (indexPlusOne == 0 || seat >= round.rosterSize) return (setVersion, revealedBlock, 0, status);
        uint256 bit = 1 << (indexPlusOne - 1);
        Claim storage claim = _claim(round, seat);
        status = claim.status;
        if (claim.committedBlock == 0 || round.revealed & bit == 0) kind = 0;
        else if (claim.valid & bit != 0) kind = VALID;
        else if (claim.passed & bit != 0) kind = PASSED;
        else kind = claim.invalid & bit != 0 ? INVALID : UNAVAILABLE;
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
            bool undecided = status == ClaimStatus.Disputed || status == ClaimStatus.Committed;
            if (!undecided && list[count].state == DisputeState.Open) {
                list[count].state = DisputeState.Undecided;
            }
        }
    }
}
