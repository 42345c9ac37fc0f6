// SPDX-License-Identifier: MIT
// Owns trainers' stakes, capacities, vesting pay and records. Rounds, audits and minting are LearningRounds and Rewards.
pragma solidity 0.8.37;

import {
    BASIS_POINTS,
    CHALLENGES,
    IChallenges,
    IRewards,
    LEARNING_ROUNDS,
    MAX_CAPACITY,
    NotAllowed,
    Outcome,
    REWARDS
} from "./Protocol.sol";

/// @title Trainers: anyone may train; the stake and the pay not yet released are what a cheat loses
contract Trainers {
    enum Status {
        None,
        Active,
        Paused,
        Exiting,
        Slashed
    }

    struct Parameters {
        uint128 minStakeGwei;
        uint64 unbondingBlocks;
        uint8 missLimit;
        uint16 vestingRounds;
        uint16 burnBps;
    }

    struct Trainer {
        Status status;
        uint8 capacity;
        uint8 misses;
        uint8 seat;
        /// @dev Place in the list of active trainers plus one; 0 when not in it.
        uint32 place;
        /// @dev Number plus one of the last round it was frozen into.
        uint64 lockedRound;
        uint64 exitBlock;
        /// @dev Settled rounds up to which pay was released.
        uint64 releasedRounds;
        uint128 stakeWei;
        uint128 unvestedGwei;
        uint32 accepted;
        uint32 rejected;
        uint32 unresolved;
        uint32 missed;
        /// @dev First round that `nextLayer` counts for; `layer` counts before.
        uint64 layerFrom;
        bytes32 layer;
        bytes32 nextLayer;
    }

    struct TrainerView {
        address account;
        Status status;
        uint8 capacity;
        bool locked;
        uint128 stakeWei;
        uint128 unvestedGwei;
        uint256 creditWei;
        uint64 exitBlock;
        uint32 accepted;
        uint32 rejected;
        uint32 unresolved;
        uint32 missed;
        uint8 misses;
        bytes32 canaryLayer;
    }

    /// @dev Rounds of vesting that one call catches up with; the rest waits for the next call.
    uint256 private constant CATCH_UP = 64;

    Parameters private rules;
    /// @dev Rounds settled since genesis: a trainer is locked while its lockedRound is above.
    uint64 public settledRounds;
    uint256 public totalStake;
    uint256 public totalCredit;
    uint256 public totalUnvestedGwei;
    mapping(address account => Trainer) private trainers;
    mapping(address account => uint256) public credit;
    address[] private active;

    event Registered(address indexed trainer, uint8 capacity, uint256 stakeWei);
    event StakeAdded(address indexed trainer, uint256 amountWei, uint256 stakeWei);
    event CapacitySet(address indexed trainer, uint8 capacity);
    event Paused(address indexed trainer, uint64 indexed round);
    event Resumed(address indexed trainer);
    event ExitRequested(address indexed trainer, uint64 exitBlock);
    event Withdrawn(address indexed trainer, uint256 amountWei);
    event Vested(address indexed trainer, uint64 indexed round, uint256 paidGwei, uint256 releasedGwei, uint256 unvestedGwei);
    event Slashed(
        address indexed trainer,
        uint64 indexed round,
        address indexed accuser,
        uint256 burnedWei,
        uint256 bountyWei,
        uint256 forfeitedGwei
    );
    event CreditClaimed(address indexed account, uint256 amountWei);
    event CanaryLayerSet(address indexed trainer, bytes32 layerHash, uint64 fromRound);

    error WrongStatus(Status status);
    error CapacityOutOfRange(uint256 capacity);
    error StakeTooLow(uint256 amountWei, uint256 leastWei);
    error StakeTooHigh(uint256 amountWei);
    error Locked(uint64 round);
    error Unbonding(uint64 exitBlock);
    error UnderChallenge(uint256 open);
    error NothingToClaim(address account);
    error TransferFailed(address account, uint256 amountWei);

    modifier onlyRounds() {
        if (msg.sender != LEARNING_ROUNDS) revert NotAllowed(msg.sender);
        _;
    }

    constructor(Parameters memory parameters_) {
        rules = parameters_;
    }

    /// @notice Stakes the coins sent along and joins from the next roster on.
    /// @param capacity Share of a round's data, 1 to 64.
    function register(uint8 capacity) external payable {
        Trainer storage trainer = trainers[msg.sender];
        if (trainer.status != Status.None) revert WrongStatus(trainer.status);
        uint256 least = uint256(rules.minStakeGwei) * 1 gwei;
        if (msg.value < least) revert StakeTooLow(msg.value, least);
        _setCapacity(trainer, capacity);
        trainer.misses = 0;
        _addStake(trainer);
        _activate(trainer);
        emit Registered(msg.sender, capacity, msg.value);
    }

    /// @notice Adds the coins sent along to the caller's stake.
    function addStake() external payable {
        Trainer storage trainer = _joined();
        _addStake(trainer);
        emit StakeAdded(msg.sender, msg.value, trainer.stakeWei);
    }

    /// @notice Sets the capacity counted from the next roster on.
    function setCapacity(uint8 capacity) external {
        _setCapacity(_joined(), capacity);
        emit CapacitySet(msg.sender, capacity);
    }

    /// @notice Sets the hash of the caller's secret canary layer, counted from the next roster on.
    function setCanaryLayer(bytes32 layerHash) external {
        _joined();
        _setLayer(msg.sender, layerHash);
    }

    /// @notice The layer that follows one just opened.
    function renewCanaryLayer(address account, bytes32 layerHash) external onlyRounds {
        _setLayer(account, layerHash);
    }

    /// @notice Hash of the canary layer that counts for an account in a round; 0 for none. Right for its last round and later.
    function canaryLayerOf(address account, uint64 round) external view returns (bytes32) {
        Trainer storage trainer = trainers[account];
        return round >= trainer.layerFrom ? trainer.nextLayer : trainer.layer;
    }

    /// @notice Ends a pause that missed rounds brought.
    function resume() external {
        Trainer storage trainer = trainers[msg.sender];
        if (trainer.status != Status.Paused) revert WrongStatus(trainer.status);
        trainer.misses = 0;
        _activate(trainer);
        emit Resumed(msg.sender);
    }

    /// @notice Leaves all later rosters; the stake can be withdrawn after the unbonding time.
    function requestExit() external {
        Trainer storage trainer = _joined();
        _deactivate(msg.sender, trainer);
        trainer.status = Status.Exiting;
        trainer.exitBlock = uint64(block.number) + rules.unbondingBlocks;
        emit ExitRequested(msg.sender, trainer.exitBlock);
    }

    /// @notice Pays the stake out, after unbonding and when no round and no open challenge holds it. Unvested pay goes on vesting.
    function withdraw() external {
        Trainer storage trainer = trainers[msg.sender];
        if (trainer.status != Status.Exiting) revert WrongStatus(trainer.status);
        if (trainer.lockedRound > settledRounds) revert Locked(trainer.lockedRound - 1);
        if (block.number < trainer.exitBlock) revert Unbonding(trainer.exitBlock);
        // A genesis without challenges has no code there.
        uint256 open = CHALLENGES.code.length == 0 ? 0 : IChallenges(CHALLENGES).openAgainst(msg.sender);
        if (open != 0) revert UnderChallenge(open);
        uint256 amount = trainer.stakeWei;
        trainer.status = Status.None;
        trainer.stakeWei = 0;
        trainer.exitBlock = 0;
        totalStake -= amount;
        emit Withdrawn(msg.sender, amount);
        _pay(amount);
    }

    /// @notice Pays out what the caller was credited: bounties.
    function claimCredit() external {
        uint256 amount = credit[msg.sender];
        if (amount == 0) revert NothingToClaim(msg.sender);
        credit[msg.sender] = 0;
        totalCredit -= amount;
        emit CreditClaimed(msg.sender, amount);
        _pay(amount);
    }

    /// @notice Takes up to `most` active trainers into a round. With more than fit, the window moves on each round.
    /// `securityGwei` is what each would lose: stake and unvested pay.
    function freeze(uint64 round, uint256 most)
        external
        onlyRounds
        returns (address[] memory accounts, uint8[] memory capacities, uint256[] memory securityGwei)
    {
        uint256 total = active.length;
        uint256 count = total < most ? total : most;
        uint256 start = total > most ? (uint256(round) * most) % total : 0;
        accounts = new address[](count);
        capacities = new uint8[](count);
        securityGwei = new uint256[](count);
        for (uint256 i; i < count; ++i) {
            address account = active[(start + i) % total];
            Trainer storage trainer = trainers[account];
            trainer.lockedRound = round + 1;
            trainer.seat = uint8(i);
            accounts[i] = account;
            capacities[i] = trainer.capacity;
            securityGwei[i] = trainer.stakeWei / 1 gwei + trainer.unvestedGwei;
        }
    }

    /// @notice Writes a round's outcome into a trainer's record, credits its pay and releases what has vested.
    function settle(uint64 round, address account, Outcome outcome, uint256 payGwei)
        external
        onlyRounds
        returns (uint256 releasedGwei)
    {
        Trainer storage trainer = trainers[account];
        _record(round, account, trainer, outcome);
        if (trainer.status == Status.Slashed) return 0;
        uint256 unvested = trainer.unvestedGwei;
        if (unvested == 0) trainer.releasedRounds = round;
        uint256 behind = round - trainer.releasedRounds;
        if (behind >= CATCH_UP) behind = CATCH_UP - 1;
        releasedGwei = _vestedAfter(unvested, behind);
        unvested = unvested - releasedGwei + payGwei;
        uint256 last = _vestedAfter(unvested, 1);
        trainer.releasedRounds += uint64(behind + 1);
        _vest(account, trainer, round, payGwei, releasedGwei += last, unvested - last);
    }

    /// @notice Releases what has vested for a trainer in no recent roster.
    function release(address account) external onlyRounds returns (uint256 releasedGwei) {
        Trainer storage trainer = trainers[account];
        uint256 unvested = trainer.unvestedGwei;
        if (unvested == 0 || trainer.releasedRounds >= settledRounds) return 0;
        uint256 behind = settledRounds - trainer.releasedRounds;
        if (behind > CATCH_UP) behind = CATCH_UP;
        trainer.releasedRounds += uint64(behind);
        releasedGwei = _vestedAfter(unvested, behind);
        _vest(account, trainer, settledRounds - 1, 0, releasedGwei, unvested - releasedGwei);
    }

    /// @notice Unlocks the stakes of a settled round.
    function finishRound(uint64 round) external onlyRounds {
        settledRounds = round + 1;
    }

    /// @notice Takes a cheat's whole stake and unvested pay: a share is burned, the rest credited to the accuser. An account
    /// that was slashed before has nothing left to take.
    function slash(uint64 round, address account, address accuser) external {
        if (msg.sender != LEARNING_ROUNDS && msg.sender != CHALLENGES) revert NotAllowed(msg.sender);
        Trainer storage trainer = trainers[account];
        if (trainer.status == Status.Slashed) return;
        uint256 stake = trainer.stakeWei;
        uint256 forfeited = trainer.unvestedGwei;
        uint256 burned = (stake * rules.burnBps) / BASIS_POINTS;
        _deactivate(account, trainer);
        trainer.status = Status.Slashed;
        trainer.stakeWei = 0;
        trainer.unvestedGwei = 0;
        trainer.exitBlock = 0;
        totalStake -= stake;
        totalUnvestedGwei -= forfeited;
        totalCredit += stake - burned;
        credit[accuser] += stake - burned;
        emit Slashed(account, round, accuser, burned, stake - burned, forfeited);
        IRewards(REWARDS).burn{value: burned}();
    }

    function _record(uint64 round, address account, Trainer storage trainer, Outcome outcome) private {
        if (outcome == Outcome.Rejected) {
            ++trainer.rejected;
        } else if (outcome == Outcome.Accepted) {
            ++trainer.accepted;
            if (trainer.misses != 0) trainer.misses = 0;
        } else {
            if (outcome == Outcome.Missed) ++trainer.missed;
            else ++trainer.unresolved;
            // Authorities' silence (Unresolved) is not the trainer's failure; its own silence holds every round up.
            if (outcome != Outcome.Unresolved && trainer.status == Status.Active) {
                trainer.misses += 1;
                if (trainer.misses >= rules.missLimit) {
                    _deactivate(account, trainer);
                    trainer.status = Status.Paused;
                    emit Paused(account, round);
                }
            }
        }
    }

    function _vest(
        address account,
        Trainer storage trainer,
        uint64 round,
        uint256 paid,
        uint256 released,
        uint256 unvested
    ) private {
        if (paid == 0 && released == 0) return;
        totalUnvestedGwei = totalUnvestedGwei + paid - released;
        trainer.unvestedGwei = uint128(unvested);
        emit Vested(account, round, paid, released, unvested);
    }

    /// @dev Sum of `rounds` releases, each ceil(rest / vestingRounds).
    function _vestedAfter(uint256 unvested, uint256 rounds) private view returns (uint256) {
        uint256 rest = unvested;
        uint256 divisor = rules.vestingRounds;
        for (uint256 i; i < rounds && rest != 0; ++i) rest -= (rest + divisor - 1) / divisor;
        return unvested - rest;
    }

    function _joined() private view returns (Trainer storage trainer) {
        trainer = trainers[msg.sender];
        if (trainer.status != Status.Active && trainer.status != Status.Paused) revert WrongStatus(trainer.status);
    }

    function _setCapacity(Trainer storage trainer, uint8 capacity) private {
        if (capacity == 0 || capacity > MAX_CAPACITY) revert CapacityOutOfRange(capacity);
        trainer.capacity = capacity;
    }

    function _addStake(Trainer storage trainer) private {
        uint256 stake = trainer.stakeWei + msg.value;
        if (stake > type(uint128).max) revert StakeTooHigh(stake);
        trainer.stakeWei = uint128(stake);
        totalStake += msg.value;
    }

    /// @dev The layer of the round an account is in, or was in last, stays as it was.
    function _setLayer(address account, bytes32 layerHash) private {
        Trainer storage trainer = trainers[account];
        uint64 from = trainer.lockedRound;
        if (trainer.layerFrom < from) {
            trainer.layer = trainer.nextLayer;
            trainer.layerFrom = from;
        }
        trainer.nextLayer = layerHash;
        emit CanaryLayerSet(account, layerHash, from);
    }

    function _activate(Trainer storage trainer) private {
        trainer.status = Status.Active;
        active.push(msg.sender);
        trainer.place = uint32(active.length);
    }

    function _deactivate(address account, Trainer storage trainer) private {
        uint256 place = trainer.place;
        if (place == 0) return;
        trainer.place = 0;
        address last = active[active.length - 1];
        active.pop();
        if (last == account) return;
        active[place - 1] = last;
        trainers[last].place = uint32(place);
    }

    /// @dev Last act of its caller: state is written, so a re-entrant call meets the new state.
    function _pay(uint256 amount) private {
        (bool sent,) = msg.sender.call{value: amount}("");
        if (!sent) revert TransferFailed(msg.sender, amount);
    }

    /// @notice Last round an account was frozen into (number plus one, 0 for none) and its seat there.
    function seatOf(address account) external view returns (uint64 roundPlusOne, uint8 seat) {
        return (trainers[account].lockedRound, trainers[account].seat);
    }

    /// @notice Trainers that the next roster may take.
    function activeCount() external view returns (uint256) {
        return active.length;
    }

    /// @notice Active trainers from `offset` on, at most `most`.
    function activeTrainers(uint256 offset, uint256 most) external view returns (TrainerView[] memory list) {
        uint256 rest = offset < active.length ? active.length - offset : 0;
        list = new TrainerView[](most < rest ? most : rest);
        for (uint256 i; i < list.length; ++i) list[i] = trainerOf(active[offset + i]);
    }

    /// @notice A trainer's record; status None for one that never registered.
    function trainerOf(address account) public view returns (TrainerView memory) {
        Trainer storage t = trainers[account];
        return TrainerView({
            account: account,
            status: t.status,
            capacity: t.capacity,
            locked: t.lockedRound > settledRounds,
            stakeWei: t.stakeWei,
            unvestedGwei: t.unvestedGwei,
            creditWei: credit[account],
            exitBlock: t.exitBlock,
            accepted: t.accepted,
            rejected: t.rejected,
            unresolved: t.unresolved,
            missed: t.missed,
            misses: t.misses,
            canaryLayer: t.nextLayer
        });
    }

    /// @notice The stake rules set in genesis.
    function parameters() external view returns (Parameters memory) {
        return rules;
    }
}
