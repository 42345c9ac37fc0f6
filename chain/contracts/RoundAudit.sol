// SPDX-License-Identifier: MIT
// Owns how claims are made and decided: commit, sealed and revealed verdicts, canaries, judgements. When phases begin and end
// is LearningRounds.
pragma solidity 0.8.37;

import {BASIS_POINTS, ClaimStatus, ITrainers, TRAINERS} from "./Protocol.sol";
import {RoundStorage} from "./RoundStorage.sol";

/// @title Claims, verdicts and disputes of a learning round
abstract contract RoundAudit is RoundStorage {
    uint8 internal constant VALID = 1;
    uint8 internal constant INVALID = 2;
    uint8 internal constant UNAVAILABLE = 3;
    uint8 internal constant PASSED = 4;
    /// @dev Step that names the claim's structure and no single step.
    uint32 internal constant STRUCTURE = type(uint32).max;
    uint256 internal constant LEAF_BYTES = 68;
    /// @dev Bytes of one revealed verdict (seat u8, kind u8, step u32, digest 32) and of a proof of the draw.
    uint256 internal constant ENTRY_BYTES = 38;
    uint256 internal constant PROOF_BYTES = 81;

    struct Commitment {
        bytes32 baseRoot;
        bytes32 traceRoot;
        bytes32 gradChainHead;
        bytes32 finalStateRoot;
        bytes32 updateHash;
        bytes32 residualRoot;
        bytes32 canaryHash;
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
        uint256 streak = streaks[msg.sender];
        claim.carriedRounds = streak >> 24 == number ? uint24(streak) : 0;
        (claim.winners, claim.valid, claim.passed, claim.invalid, claim.unavailable) = (0, 0, 0, 0, 0);
        claim.updateSize = work.updateSize;
        claim.traceRoot = work.traceRoot;
        claim.gradChainHead = work.gradChainHead;
        claim.finalStateRoot = work.finalStateRoot;
        claim.updateHash = work.updateHash;
        claim.residualRoot = work.residualRoot;
        claim.canaryHash = work.canaryHash;
        emit Committed(
            number,
            msg.sender,
            work.baseRoot,
            work.traceRoot,
            work.gradChainHead,
            work.finalStateRoot,
            work.updateHash,
            work.residualRoot,
            work.canaryHash,
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

    /// @notice An authority's verdicts on all claims of the round, hidden until everyone has committed; once.
    /// @param hash keccak256(abi.encode(round, authority, keccak256(entries), nonce)).
    function commitVerdicts(uint64 number, bytes32 hash) external {
        Round storage round = _current(number);
        if (round.phase != Phase.Auditing) revert WrongPhase(round.phase);
        if (block.number >= round.deadline) revert DeadlinePassed(round.deadline);
        (uint128 bit, uint256 index) = _authorityOf(round);
        if (round.sealed_ & bit != 0) revert AlreadyGiven(msg.sender);
        if (hash == 0) revert EmptyHash();
        uint128 mask = round.sealed_ | bit;
        round.sealed_ = mask;
        seals[number % KEPT_ROUNDS][index] = hash;
        emit VerdictsSealed(number, msg.sender, hash);
        uint256 hidden = _bits(mask);
        uint64 grace = uint64(block.number) + rules.graceBlocks;
        if (hidden == _setSize(round)) {
            _enterRevealing(round);
        } else if (hidden == _quorum(round) && grace < round.deadline) {
            // One that is down holds the others up no longer than this.
            _enter(round, Phase.Auditing, grace);
        }
    }

    /// @notice Opens what the caller committed. What is never opened counts for nothing.
    /// @param entries One record for each committed claim in ascending order of seats.
    /// @param vrfProof Proof of the caller's draw; checked off chain, by everyone.
    function revealVerdicts(uint64 number, bytes calldata entries, bytes32 nonce, bytes calldata vrfProof) external {
        Round storage round = _current(number);
        if (round.phase != Phase.Revealing) revert WrongPhase(round.phase);
        if (block.number >= round.deadline) revert DeadlinePassed(round.deadline);
        (uint128 bit, uint256 index) = _authorityOf(round);
        if (round.sealed_ & bit == 0) revert NotSealed(msg.sender);
        if (round.revealed & bit != 0) revert AlreadyGiven(msg.sender);
        bytes32 hash = keccak256(abi.encode(number, msg.sender, keccak256(entries), nonce));
        if (seals[number % KEPT_ROUNDS][index] != hash) revert SealMismatch(hash);
        uint256 expected = uint256(round.committed) * ENTRY_BYTES;
        if (entries.length != expected) revert EntriesLength(entries.length, expected);
        if (vrfProof.length != PROOF_BYTES) revert ProofLength(vrfProof.length);
        round.revealed |= bit;
        emit VerdictsRevealed(number, msg.sender, entries, vrfProof);
        uint256 quorum = _quorum(round);
        uint256 offset;
        for (uint8 seat; offset < expected; ++seat) {
            Claim storage claim = _claim(round, seat);
            // Only claims of this round have a block: the roster's freeze cleared it.
            if (claim.committedBlock == 0) continue;
            _note(round, claim, seat, entries[offset:offset + ENTRY_BYTES], bit, quorum);
            offset += ENTRY_BYTES;
        }
    }

    /// @dev Writes one revealed verdict into its claim. An INVALID is weighed when the reveals have ended.
    function _note(
        Round storage round,
        Claim storage claim,
        uint8 seat,
        bytes calldata entry,
        uint128 bit,
        uint256 quorum
    ) private {
        if (uint8(entry[0]) != seat) revert EntryMisplaced(seat);
        uint8 kind = uint8(entry[1]);
        uint32 step = uint32(bytes4(entry[2:6]));
        if (kind == INVALID ? step >= rules.steps && step != STRUCTURE : step != 0) revert StepOutOfRange(step);
        if ((kind == PASSED) != (bytes32(entry[6:38]) == 0)) revert DigestUnfit(seat);
        if (kind == VALID) {
            claim.valid |= bit;
        } else if (kind == PASSED) {
            claim.passed |= bit;
        } else if (kind == UNAVAILABLE) {
            claim.unavailable |= bit;
        } else if (kind == INVALID) {
            claim.invalid |= bit;
            if (claim.status == ClaimStatus.Committed) _accuse(round, claim, seat, step, bit, quorum);
        } else {
            revert VerdictUnknown(kind);
        }
    }

    /// @dev Records the accusation. The dispute runs from the end of the reveals, unless a canary takes it away.
    function _accuse(Round storage round, Claim storage claim, uint8 seat, uint32 step, uint128 bit, uint256 quorum)
        private
    {
        uint64 number = round.number;
        uint256 index = disputeIndex[number][_key(seat, step)];
        if (index == 0) {
            disputes[number].push(Dispute(step, msg.sender, DisputeState.Open, seat, 0, 0));
            index = disputes[number].length;
            disputeIndex[number][_key(seat, step)] = index;
            ++claim.openDisputes;
            emit DisputeOpened(number, claim.trainer, msg.sender, step);
        }
        Dispute storage dispute = disputes[number][index - 1];
        dispute.invalid |= bit;
        if (_bits(dispute.invalid) >= quorum) claim.ripe = uint32(index);
    }

    /// @notice Shows that a false step of the caller's own claim was a canary: it was drawn by lot and announced in the
    /// commitment. The claim is paid, is not aggregated, and no dispute about it is opened.
    /// @param nextLayerHash Hash of the layer that follows, counted from the next roster on.
    function openCanary(uint64 number, uint32 step, bytes32 layer, bytes32 nextLayerHash) external {
        Round storage round = _current(number);
        if (round.phase != Phase.Revealing) revert WrongPhase(round.phase);
        if (block.number >= round.deadline) revert DeadlinePassed(round.deadline);
        (, Claim storage claim) = _claimOf(round, msg.sender);
        if (claim.status != ClaimStatus.Committed) revert WrongClaimStatus(claim.status);
        if (step >= rules.steps) revert StepOutOfRange(step);
        bytes32 layerHash = keccak256(abi.encode(layer));
        if (ITrainers(TRAINERS).canaryLayerOf(msg.sender, number) != layerHash) revert LayerUnknown(layerHash);
        bytes32 ticket = keccak256(abi.encode(round.seed, msg.sender, layer));
        if (uint256(ticket) % BASIS_POINTS >= rules.canaryBps) revert TicketNotOwned(ticket);
        if (claim.canaryHash != keccak256(abi.encode(number, msg.sender, step, layer))) {
            revert CanaryMismatch(claim.canaryHash);
        }
        emit CanaryOpened(number, msg.sender, step, layer);
        round.canaryCapacity += claim.capacity;
        _setDecided(round, claim, ClaimStatus.Canary);
        ITrainers(TRAINERS).renewCanaryLayer(msg.sender, nextLayerHash);
    }

    /// @notice An authority's finding on one disputed step, which every authority re-executes; once each.
    function judge(uint64 number, address trainer, uint32 step, bool invalid) external {
        Round storage round = _current(number);
        if (round.phase != Phase.Judging) revert WrongPhase(round.phase);
        if (block.number >= round.deadline) revert DeadlinePassed(round.deadline);
        (uint128 bit,) = _authorityOf(round);
        (uint8 seat, Claim storage claim) = _claimOf(round, trainer);
        uint256 index = disputeIndex[number][_key(seat, step)];
        // A ripe claim is decided: the next block upholds it.
        if (index == 0 || claim.status != ClaimStatus.Disputed || claim.ripe != 0) revert NoOpenDispute(step);
        Dispute storage dispute = disputes[number][index - 1];
        if (dispute.state != DisputeState.Open) revert NoOpenDispute(step);
        _judge(round, claim, dispute, bit, invalid);
        _close(round);
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
    function _uphold(Round storage round, Claim storage claim, Dispute storage dispute) internal {
        claim.winners = dispute.invalid;
        round.penalised |= dispute.valid;
        _end(round, claim, dispute, DisputeState.Upheld);
        _setDecided(round, claim, ClaimStatus.Rejected);
        ITrainers(TRAINERS).slash(round.number, claim.trainer, dispute.accuser);
    }

    /// @dev The accusers were wrong; with its last dispute gone the claim is decided by the other verdicts.
    function _dismiss(Round storage round, Claim storage claim, Dispute storage dispute) private {
        round.penalised |= dispute.invalid;
        _end(round, claim, dispute, DisputeState.Dismissed);
        if (--claim.openDisputes == 0) _decide(round, claim, _quorum(round));
    }

    /// @dev No quorum is possible any more: the claim does not count and nobody is slashed.
    function _leaveUndecided(Round storage round, Claim storage claim, Dispute storage dispute) private {
        _end(round, claim, dispute, DisputeState.Undecided);
        _setDecided(round, claim, ClaimStatus.Unresolved);
    }

    function _end(Round storage round, Claim storage claim, Dispute storage dispute, DisputeState state) private {
        dispute.state = state;
        emit DisputeClosed(round.number, claim.trainer, dispute.accuser, dispute.step, state);
    }

    /// @dev Every verdict there will be is in: a quorum of VALID and PASSED accepts.
    function _decide(Round storage round, Claim storage claim, uint256 quorum) internal {
        bool approved = _bits(claim.valid | claim.passed) >= quorum;
        _setDecided(round, claim, approved ? ClaimStatus.Accepted : ClaimStatus.Unresolved);
    }

    function _setDecided(Round storage round, Claim storage claim, ClaimStatus status) internal {
        claim.status = status;
        if (status == ClaimStatus.Accepted) {
            ++round.accepted;
            round.acceptedCapacity += claim.capacity;
        }
        --round.undecided;
        emit ClaimDecided(round.number, claim.trainer, status);
    }

    function _enterAuditing(Round storage round) internal {
        _enter(round, Phase.Auditing, uint64(block.number) + rules.auditBlocks);
    }

    function _enterRevealing(Round storage round) internal {
        _enter(round, Phase.Revealing, uint64(block.number) + rules.revealBlocks);
    }

    /// @dev Ends Judging once every claim is decided.
    function _close(Round storage round) internal {
        if (round.undecided != 0) return;
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
