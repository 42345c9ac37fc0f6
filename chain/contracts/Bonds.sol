// SPDX-License-Identifier: MIT
// Owns what authorities have at stake: their bonds, accusations against them and the trials that decide those. What they said
// is LearningRounds', who they are is Authorities'.
pragma solidity 0.8.37;

import {
    AUTHORITIES,
    BASIS_POINTS,
    CHALLENGES,
    ClaimStatus,
    EVIDENCE,
    IAuthorities,
    ILearningRounds,
    IRewards,
    LEARNING_ROUNDS,
    NotAllowed,
    REWARDS
} from "./Protocol.sol";

/// @title Bonds: an authority that lies about an audit loses more than it could earn by it
contract Bonds {
    enum TrialState {
        Open,
        Guilty,
        Innocent,
        Undecided
    }

    struct Parameters {
        uint64 authorityBondGwei;
        uint64 accusationBondGwei;
        uint64 unbondingBlocks;
        uint32 recheckWindowBlocks;
        uint32 trialBlocks;
        uint16 burnBps;
    }

    struct Trial {
        uint64 round;
        uint64 deadline;
        uint64 setVersion;
        uint8 seat;
        uint8 kind;
        TrialState state;
        address accused;
        address accuser;
        uint128 bondWei;
        uint128 guilty;
        uint128 innocent;
    }

    /// @dev Accusations: a digest that no execution gives, a draw that the proof does not give, a canary approved.
    uint8 private constant FALSE_DIGEST = 1;
    uint8 private constant FALSE_DRAW = 2;
    uint8 private constant CANARY_APPROVED = 3;
    uint8 private constant VALID = 1;

    Parameters private rules;
    uint256 public totalBonds;
    uint256 public totalCredit;
    /// @notice Wei held for accusations whose trial is open.
    uint256 public totalAccusations;
    mapping(address account => uint256) public bondOf;
    mapping(address account => uint256) public credit;
    /// @dev Open trials against an account: its bond stays while there are any.
    mapping(address account => uint256) public openTrials;
    Trial[] private trials;
    mapping(bytes32 charge => uint256 indexPlusOne) private charges;

    event Deposited(address indexed account, uint256 amountWei, uint256 bondWei);
    event Withdrawn(address indexed account, uint256 amountWei);
    event Accused(
        uint256 indexed trial,
        address indexed accused,
        address indexed accuser,
        uint64 round,
        uint8 seat,
        uint8 kind,
        uint64 deadline
    );
    event AuthorityJudged(uint256 indexed trial, address indexed authority, bool guilty);
    event TrialClosed(uint256 indexed trial, address indexed accused, address indexed accuser, TrialState state);
    event BondSlashed(address indexed account, address indexed beneficiary, uint256 burnedWei, uint256 bountyWei);
    event CreditClaimed(address indexed account, uint256 amountWei);

    error BondOutOfRange(uint256 amountWei);
    error StillSeated(address account);
    error Unbonding(uint64 until);
    error UnderTrial(address account);
    error NothingToClaim(address account);
    error NothingToAccuse(uint64 round, address authority, uint8 seat, uint8 kind);
    error WindowPassed(uint64 until);
    error AlreadyTried(uint256 trial);
    error NoOpenTrial(uint256 trial);
    error NotJudge(address caller);
    error AlreadyGiven(address authority);
    error TrialRuns(uint64 deadline);
    error TransferFailed(address account, uint256 amountWei);

    /// @param founders Authorities of genesis: each has its bond in this contract's genesis balance.
    constructor(Parameters memory parameters_, address[] memory founders) {
        rules = parameters_;
        uint256 bond = uint256(parameters_.authorityBondGwei) * 1 gwei;
        for (uint256 i; i < founders.length; ++i) bondOf[founders[i]] = bond;
        totalBonds = bond * founders.length;
    }

    /// @notice Adds the coins sent along to the caller's bond. Auditing is paid from `authorityBondGwei` on.
    function deposit() external payable {
        if (msg.value == 0 || msg.value > type(uint128).max) revert BondOutOfRange(msg.value);
        bondOf[msg.sender] += msg.value;
        totalBonds += msg.value;
        emit Deposited(msg.sender, msg.value, bondOf[msg.sender]);
    }

    /// @notice Pays the caller's bond out, once it has been in no set of authorities for the unbonding time and no trial runs.
    function withdraw() external {
        uint256 amount = bondOf[msg.sender];
        if (amount == 0) revert NothingToClaim(msg.sender);
        IAuthorities authorities = IAuthorities(AUTHORITIES);
        uint64 latest = authorities.latestVersion();
        if (authorities.seat(latest, msg.sender) != 0 || authorities.seat(authorities.activeVersion(), msg.sender) != 0) {
            revert StillSeated(msg.sender);
        }
        uint64 left = authorities.leftBlock(msg.sender);
        if (left != 0 && block.number < left + rules.unbondingBlocks) revert Unbonding(left + rules.unbondingBlocks);
        if (openTrials[msg.sender] != 0) revert UnderTrial(msg.sender);
        bondOf[msg.sender] = 0;
        totalBonds -= amount;
        emit Withdrawn(msg.sender, amount);
        _pay(amount);
    }

    /// @notice Accuses an authority of what it revealed about a claim; the coins sent along are the accuser's bond.
    /// @param kind 1 false digest, 2 false draw or proof, 3 approved a canary its own sample held.
    function accuse(uint64 round, address authority, uint8 seat, uint8 kind) external payable returns (uint256 trial) {
        uint256 bond = uint256(rules.accusationBondGwei) * 1 gwei;
        if (msg.value != bond) revert BondOutOfRange(msg.value);
        (uint64 setVersion, uint64 revealed, uint8 said, ClaimStatus status) =
            ILearningRounds(LEARNING_ROUNDS).entryOf(round, authority, seat);
        bool fits = kind == FALSE_DIGEST
            ? said == VALID
            : kind == FALSE_DRAW
                ? said != 0
                : kind == CANARY_APPROVED && said == VALID && status == ClaimStatus.Canary;
        if (!fits || authority == msg.sender) revert NothingToAccuse(round, authority, seat, kind);
        if (revealed != 0 && block.number >= revealed + rules.recheckWindowBlocks) {
            revert WindowPassed(revealed + rules.recheckWindowBlocks);
        }
        trial = _open(round, authority, seat, kind, setVersion);
        // An authority that accuses has judged: guilty.
        uint256 indexPlusOne = IAuthorities(AUTHORITIES).seat(setVersion, msg.sender);
        if (indexPlusOne != 0) _judge(trial, uint128(1 << (indexPlusOne - 1)), true);
    }

    function _open(uint64 round, address authority, uint8 seat, uint8 kind, uint64 setVersion)
        private
        returns (uint256 trial)
    {
        bytes32 charge = keccak256(abi.encode(round, authority, seat, kind));
        uint256 before = charges[charge];
        // What stayed undecided may be tried again, since nobody was found right.
        if (before != 0 && trials[before - 1].state != TrialState.Undecided) revert AlreadyTried(before - 1);
        trial = trials.length;
        charges[charge] = trial + 1;
        uint64 deadline = uint64(block.number) + rules.trialBlocks;
        trials.push(
            Trial(
                round,
                deadline,
                setVersion,
                seat,
                kind,
                TrialState.Open,
                authority,
                msg.sender,
                uint128(msg.value),
                0,
                0
            )
        );
        totalAccusations += msg.value;
        ++openTrials[authority];
        emit Accused(trial, authority, msg.sender, round, seat, kind, deadline);
    }

    /// @notice The finding of another authority of that round's set, by what is public; once each.
    function judgeAuthority(uint256 number, bool guilty) external {
        Trial storage trial = _running(number);
        if (block.number >= trial.deadline) revert NoOpenTrial(number);
        uint256 indexPlusOne = IAuthorities(AUTHORITIES).seat(trial.setVersion, msg.sender);
        if (indexPlusOne == 0 || msg.sender == trial.accused) revert NotJudge(msg.sender);
        _judge(number, uint128(1 << (indexPlusOne - 1)), guilty);
    }

    /// @dev A quorum of the others decides: floor(2m/3) + 1 of the m that are not accused.
    function _judge(uint256 number, uint128 bit, bool guilty) private {
        Trial storage trial = trials[number];
        if ((trial.guilty | trial.innocent) & bit != 0) revert AlreadyGiven(msg.sender);
        if (guilty) trial.guilty |= bit;
        else trial.innocent |= bit;
        emit AuthorityJudged(number, msg.sender, guilty);
        uint256 others = IAuthorities(AUTHORITIES).size(trial.setVersion) - 1;
        uint256 quorum = (2 * others) / 3 + 1;
        // One authority alone never takes another's bond, however small the set.
        if (quorum < 2) quorum = 2;
        if (_bits(trial.guilty) >= quorum) _convict(number, trial);
        else if (_bits(trial.innocent) >= quorum) _acquit(number, trial);
        else if (_bits(trial.guilty | trial.innocent) == others) _drop(number, trial);
    }

    /// @notice Ends a trial whose time is over without a quorum; anyone may. The accuser gets its bond back.
    function closeTrial(uint256 number) external {
        Trial storage trial = _running(number);
        if (block.number < trial.deadline) revert TrialRuns(trial.deadline);
        _drop(number, trial);
    }

    function _convict(uint256 number, Trial storage trial) private {
        uint256 bond = _end(number, trial, TrialState.Guilty);
        _credit(trial.accuser, bond);
        _slash(trial.accused, BASIS_POINTS, trial.accuser);
    }

    function _acquit(uint256 number, Trial storage trial) private {
        uint256 bond = _end(number, trial, TrialState.Innocent);
        uint256 burned = (bond * rules.burnBps) / BASIS_POINTS;
        _credit(trial.accused, bond - burned);
        IRewards(REWARDS).burn{value: burned}();
    }

    function _drop(uint256 number, Trial storage trial) private {
        _credit(trial.accuser, _end(number, trial, TrialState.Undecided));
    }

    function _end(uint256 number, Trial storage trial, TrialState state) private returns (uint256 bond) {
        trial.state = state;
        bond = trial.bondWei;
        totalAccusations -= bond;
        --openTrials[trial.accused];
        emit TrialClosed(number, trial.accused, trial.accuser, state);
    }

    /// @notice Takes a share of a bond: for what other contracts of the protocol proved.
    function slash(address authority, uint16 bps, address beneficiary) external {
        if (msg.sender != LEARNING_ROUNDS && msg.sender != CHALLENGES && msg.sender != EVIDENCE) {
            revert NotAllowed(msg.sender);
        }
        if (bps > BASIS_POINTS) revert BondOutOfRange(bps);
        _slash(authority, bps, beneficiary);
    }

    function _slash(address account, uint256 bps, address beneficiary) private {
        uint256 taken = (bondOf[account] * bps) / BASIS_POINTS;
        uint256 burned = (taken * rules.burnBps) / BASIS_POINTS;
        bondOf[account] -= taken;
        totalBonds -= taken;
        _credit(beneficiary, taken - burned);
        emit BondSlashed(account, beneficiary, burned, taken - burned);
        IRewards(REWARDS).burn{value: burned}();
    }

    /// @notice Pays out what the caller was credited: bounties and bonds that came back.
    function claimCredit() external {
        uint256 amount = credit[msg.sender];
        if (amount == 0) revert NothingToClaim(msg.sender);
        credit[msg.sender] = 0;
        totalCredit -= amount;
        emit CreditClaimed(msg.sender, amount);
        _pay(amount);
    }

    function _credit(address account, uint256 amount) private {
        credit[account] += amount;
        totalCredit += amount;
    }

    /// @dev Last act of its caller: state is written, so a re-entrant call meets the new state.
    function _pay(uint256 amount) private {
        (bool sent,) = msg.sender.call{value: amount}("");
        if (!sent) revert TransferFailed(msg.sender, amount);
    }

    function _running(uint256 number) private view returns (Trial storage trial) {
        if (number >= trials.length || trials[number].state != TrialState.Open) revert NoOpenTrial(number);
        return trials[number];
    }

    function _bits(uint256 mask) private pure returns (uint256 count) {
        for (; mask != 0; mask &= mask - 1) ++count;
    }

    /// @notice Whether an authority's auditing is paid: its bond is whole.
    function bonded(address authority) external view returns (bool) {
        return bondOf[authority] >= uint256(rules.authorityBondGwei) * 1 gwei;
    }

    /// @notice Trials since genesis.
    function trialCount() external view returns (uint256) {
        return trials.length;
    }

    /// @notice A trial by number.
    function trialAt(uint256 number) external view returns (Trial memory) {
        if (number >= trials.length) revert NoOpenTrial(number);
        return trials[number];
    }

    /// @notice The numbers of the rules, set in genesis.
    function parameters() external view returns (Parameters memory) {
        return rules;
    }
}
