// SPDX-License-Identifier: MIT
// Owns how claims are made and decided: commit, verdict, judge. When phases begin and end by time is LearningRounds.
pragma solidity 0.8.37;

import {ClaimStatus, ITrainers, TRAINERS} from "./Protocol.sol";
import {RoundStorage} from "./RoundStorage.sol";

/// @title Claims, verdicts and disputes of a learning round
abstract contract RoundAudit is RoundStorage {
    uint8 internal constant VALID = 1;
    uint8 internal constant INVALID = 2;
    uint8 internal constant UNAVAILABLE = 3;
    /// @dev Step that names the claim's structure and no single step.
    uint32 internal constant STRUCTURE = type(uint32).max;
    uint256 internal constant LEAF_BYTES = 68;

    struct Commitment {
        bytes32 baseRoot;
        bytes32 traceRoot;
        bytes32 gradChainHead;
        bytes32 finalStateRoot;
        bytes32 updateHash;
        uint64 updateSize;
        bytes32 kernelSpec;
        bytes32 programHash;
        bytes leaves;
    }

    /// @notice A roster member's claim to have trained its part, once a round and before the training deadline.
    function commit(uint64 number, Commitment calldata work) external {
        Round storage round = _current(number);
        if (round.phase != Phase.Training) revert WrongPhase(round.phase);
        if (block.number >= round.deadline) revert DeadlinePassed(round.deadline);
        (, Claim storage claim) = _claimOf(round, msg.sender);
        if (claim.status != ClaimStatus.Awaited) revert WrongClaimStatus(claim.status);
        _checkCommitment(round, work);
        claim.status = ClaimStatus.Committed;
        claim.committedBlock = uint64(block.number);
        (claim.valid, claim.invalid, claim.unavailable, claim.winners) = (0, 0, 0, 0);
        claim.updateSize = work.updateSize;
        claim.traceRoot = work.traceRoot;
        claim.gradChainHead = work.gradChainHead;
        claim.finalStateRoot = work.finalStateRoot;
        claim.updateHash = work.updateHash;
        emit Committed(
            number,
            msg.sender,
            work.baseRoot,
            work.traceRoot,
            work.gradChainHead,
            work.finalStateRoot,
            work.updateHash,
            work.updateSize,
            work.kernelSpec,
            work.programHash,
            work.leaves
        );
        if (++round.committed == round.rosterSize) _enterAuditing(round);
    }

    function _checkCommitment(Round storage round, Commitment calldata work) private view {
        if (work.baseRoot != round.baseRoot) revert BaseMismatch(round.baseRoot);
        if (work.kernelSpec != rules.kernelSpec || work.programHash != rules.programHash) {
            revert SpecMismatch(rules.kernelSpec, rules.programHash);
        }
        uint256 expected = rules.steps * LEAF_BYTES;
        if (work.leaves.length != expected) revert LeavesLength(work.leaves.length, expected);
        if (work.updateSize == 0 || work.updateSize > rules.maxUpdateBytes) {
            revert UpdateSize(work.updateSize, rules.maxUpdateBytes);
        }
        if (
            work.traceRoot == 0 || work.gradChainHead == 0 || work.finalStateRoot == 0 || work.updateHash == 0
        ) revert EmptyHash();
    }

    /// @notice An authority's finding on a claim, once each, from the commit until the audit deadline.
    /// @param kind 1 VALID, 2 INVALID at `step` (opens a dispute), 3 UNAVAILABLE. `step` is 0 unless INVALID.
    /// @param digest Salted digest of the audited steps; it stays in the log.
    function verdict(uint64 number, address trainer, uint8 kind, uint32 step, bytes32 digest) external {
        Round storage round = _current(number);
        if (round.phase != Phase.Training && round.phase != Phase.Auditing) revert WrongPhase(round.phase);
        if (round.phase == Phase.Auditing && block.number >= round.deadline) revert DeadlinePassed(round.deadline);
        uint128 bit = _authorityBit(round);
        (uint8 seat, Claim storage claim) = _claimOf(round, trainer);
        ClaimStatus status = claim.status;
        if (status != ClaimStatus.Committed && status != ClaimStatus.Disputed && status != ClaimStatus.Accepted) {
            revert WrongClaimStatus(status);
        }
        if ((claim.valid | claim.invalid | claim.unavailable) & bit != 0) revert AlreadyGiven(msg.sender);
        if (kind == INVALID ? step >= rules.steps && step != STRUCTURE : step != 0) revert StepOutOfRange(step);
        ++round.verdicts;
        emit VerdictGiven(number, trainer, msg.sender, kind, step, digest);
        if (kind == VALID) {
            claim.valid |= bit;
            _decide(round, claim);
        } else if (kind == INVALID) {
            claim.invalid |= bit;
            _accuse(round, claim, seat, step, bit);
        } else if (kind == UNAVAILABLE) {
            claim.unavailable |= bit;
            _decide(round, claim);
        } else {
            revert VerdictUnknown(kind);
        }
        _close(round);
    }

    /// @notice An authority's finding on one disputed step, which every authority re-executes; once each.
    function judge(uint64 number, address trainer, uint32 step, bool invalid) external {
        Round storage round = _current(number);
        uint128 bit = _authorityBit(round);
        (uint8 seat, Claim storage claim) = _claimOf(round, trainer);
        uint256 index = disputeIndex[number][_key(seat, step)];
        if (index == 0 || claim.status != ClaimStatus.Disputed) revert NoOpenDispute(step);
        Dispute storage dispute = disputes[number][index - 1];
        if (dispute.state != DisputeState.Open) revert NoOpenDispute(step);
        if (block.number >= dispute.deadline) revert DeadlinePassed(dispute.deadline);
        _judge(round, claim, dispute, bit, invalid);
        _close(round);
    }

    function _accuse(Round storage round, Claim storage claim, uint8 seat, uint32 step, uint128 bit) private {
        uint64 number = round.number;
        uint256 index = disputeIndex[number][_key(seat, step)];
        if (index == 0) {
            if (claim.status == ClaimStatus.Accepted) _reopen(round, claim);
            uint64 deadline = uint64(block.number) + rules.disputeBlocks;
            disputes[number].push(Dispute(step, msg.sender, deadline, DisputeState.Open, seat, 0, 0));
            index = disputes[number].length;
            disputeIndex[number][_key(seat, step)] = index;
            claim.status = ClaimStatus.Disputed;
            ++claim.openDisputes;
            emit DisputeOpened(number, claim.trainer, msg.sender, step, deadline);
        }
        Dispute storage dispute = disputes[number][index - 1];
        // A step the quorum already found valid, or one this authority already judged, cannot be accused again.
        if (dispute.state != DisputeState.Open) revert NoOpenDispute(step);
        _judge(round, claim, dispute, bit, true);
    }

    function _judge(Round storage round, Claim storage claim, Dispute storage dispute, uint128 bit, bool invalid)
        private
    {
        if ((dispute.invalid | dispute.valid) & bit != 0) revert AlreadyGiven(msg.sender);
        if (invalid) dispute.invalid |= bit;
        else dispute.valid |= bit;
        emit Judged(round.number, claim.trainer, msg.sender, dispute.step, invalid);
        uint256 against = _bits(dispute.invalid);
        uint256 inFavour = _bits(dispute.valid);
        uint256 quorum = _quorum(round);
        if (against >= quorum) {
            _uphold(round, claim, dispute);
        } else if (inFavour >= quorum) {
            _dismiss(round, claim, dispute);
        } else if (against + inFavour == _setSize(round)) {
            _leaveUndecided(round, claim, dispute);
        }
    }

    /// @dev The trainer cheated: its stake and unvested pay are taken; other disputes of the claim fall away.
    function _uphold(Round storage round, Claim storage claim, Dispute storage dispute) private {
        claim.winners = dispute.invalid;
        round.penalised |= dispute.valid;
        _end(round, claim, dispute, DisputeState.Upheld);
        _setDecided(round, claim, ClaimStatus.Rejected);
        ITrainers(TRAINERS).slash(round.number, claim.trainer, dispute.accuser);
    }

    /// @dev The accusers were wrong; the claim goes on where it stood.
    function _dismiss(Round storage round, Claim storage claim, Dispute storage dispute) private {
        round.penalised |= dispute.invalid;
        _end(round, claim, dispute, DisputeState.Dismissed);
        if (--claim.openDisputes == 0) {
            claim.status = ClaimStatus.Committed;
            _decide(round, claim);
        }
    }

    /// @dev No quorum either way: the claim does not count and nobody is slashed.
    function _leaveUndecided(Round storage round, Claim storage claim, Dispute storage dispute) internal {
        _end(round, claim, dispute, DisputeState.Undecided);
        _setDecided(round, claim, ClaimStatus.Unresolved);
    }

    function _end(Round storage round, Claim storage claim, Dispute storage dispute, DisputeState state) private {
        dispute.state = state;
        emit DisputeClosed(round.number, claim.trainer, dispute.accuser, dispute.step, state);
    }

    /// @dev Accepts at a quorum of VALID; gives up when the authorities left could no longer make one.
    function _decide(Round storage round, Claim storage claim) internal {
        if (claim.status != ClaimStatus.Committed) return;
        uint256 quorum = _quorum(round);
        if (_bits(claim.valid) >= quorum) {
            _setDecided(round, claim, ClaimStatus.Accepted);
        } else if (_bits(claim.invalid | claim.unavailable) > _setSize(round) - quorum) {
            _setDecided(round, claim, ClaimStatus.Unresolved);
        }
    }

    function _setDecided(Round storage round, Claim storage claim, ClaimStatus status) internal {
        claim.status = status;
        claim.openDisputes = 0;
        if (status == ClaimStatus.Accepted) {
            ++round.accepted;
            round.acceptedCapacity += claim.capacity;
        }
        emit ClaimDecided(round.number, claim.trainer, status);
        if (--round.undecided == 0) round.decidedBlock = uint64(block.number);
    }

    /// @dev Acceptance is provisional while INVALID still counts.
    function _reopen(Round storage round, Claim storage claim) private {
        --round.accepted;
        round.acceptedCapacity -= claim.capacity;
        ++round.undecided;
    }

    function _enterAuditing(Round storage round) internal {
        _enter(round, Phase.Auditing, uint64(block.number) + rules.auditBlocks);
        _close(round);
    }

    /// @dev Ends Auditing once every claim is decided and no INVALID can follow.
    function _close(Round storage round) internal {
        if (round.phase != Phase.Auditing || round.undecided != 0) return;
        bool complete = round.verdicts == uint256(round.committed) * _setSize(round);
        if (
            !complete && block.number < round.deadline && block.number < round.decidedBlock + rules.challengeBlocks
                && round.accepted != 0
        ) return;
        if (round.accepted != 0) {
            _enter(round, Phase.Attesting, uint64(block.number) + rules.attestBlocks);
        } else {
            round.outcome = RoundOutcome.Void;
            _enter(round, Phase.Settling, 0);
        }
    }

    function _claimOf(Round storage round, address trainer) internal view returns (uint8 seat, Claim storage claim) {
        uint64 roundPlusOne;
        (roundPlusOne, seat) = ITrainers(TRAINERS).seatOf(trainer);
        if (roundPlusOne != round.number + 1) revert NotInRoster(trainer);
        claim = _claim(round, seat);
    }

    function _key(uint8 seat, uint32 step) internal pure returns (uint256) {
        return (uint256(seat) << 32) | step;
    }
}
