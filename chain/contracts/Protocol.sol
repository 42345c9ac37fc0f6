// SPDX-License-Identifier: MIT
// Owns what the system contracts share: reserved addresses, enumerations, the interfaces they call one another by.
pragma solidity 0.8.37;

/// @dev Caller of system calls (EIP-4788): no key signs for it.
address constant SYSTEM = 0xffffFFFfFFffffffffffffffFfFFFfffFFFfFFfE;

// Reserved range: the ASCII of the ticker, then a counter. The leading zero byte makes each a number, not a checksummed literal.
address constant AUTHORITIES = address(uint160(0x00504f4c0000000000000000000000000000000001));
address constant TRAINERS = address(uint160(0x00504f4c0000000000000000000000000000000002));
address constant LEARNING_ROUNDS = address(uint160(0x00504f4c0000000000000000000000000000000003));
address constant REWARDS = address(uint160(0x00504f4c0000000000000000000000000000000004));
address constant BONDS = address(uint160(0x00504f4c0000000000000000000000000000000005));
address constant CHALLENGES = address(uint160(0x00504f4c0000000000000000000000000000000006));
address constant EVIDENCE = address(uint160(0x00504f4c0000000000000000000000000000000007));

/// @dev Hard bounds of every loop. Masks of authorities are 128 bits wide.
uint256 constant MAX_AUTHORITIES = 100;
uint256 constant MAX_ROSTER = 64;
uint256 constant MAX_CAPACITY = 64;
uint256 constant BASIS_POINTS = 10_000;

/// @notice Caller is not the address the function is kept for.
error NotAllowed(address caller);

enum ClaimStatus {
    Awaited,
    Committed,
    Disputed,
    Accepted,
    Rejected,
    Unresolved,
    Missed,
    Canary
}

/// @notice What a round did to a trainer's record. `Stalled`: unresolved because its data could not be had.
enum Outcome {
    Accepted,
    Unresolved,
    Stalled,
    Missed,
    Rejected
}

/// @notice Why an amount was minted.
enum Reason {
    Training,
    Auditing
}

interface IAuthorities {
    function activeVersion() external view returns (uint64);
    function size(uint64 version) external view returns (uint256);
    function seat(uint64 version, address account) external view returns (uint256 indexPlusOne);
    function member(uint64 version, uint256 index) external view returns (address);
    function quorumOf(uint64 version) external view returns (uint256);
    function latestVersion() external view returns (uint64);
    function leftBlock(address account) external view returns (uint64);
}

interface ITrainers {
    function activeCount() external view returns (uint256);
    function freeze(uint64 round, uint256 most)
        external
        returns (address[] memory trainers, uint8[] memory capacities, uint256[] memory securityGwei);
    function seatOf(address trainer) external view returns (uint64 roundPlusOne, uint8 seat);
    function settle(uint64 round, address trainer, Outcome outcome, uint256 payGwei) external returns (uint256 releasedGwei);
    function release(address trainer) external returns (uint256 releasedGwei);
    function finishRound(uint64 round) external;
    function slash(uint64 round, address trainer, address accuser) external;
    function canaryLayerOf(address trainer, uint64 round) external view returns (bytes32 layerHash);
    function renewCanaryLayer(address trainer, bytes32 layerHash) external;
}

interface IChallenges {
    function openAgainst(address trainer) external view returns (uint256);
}

interface IRewards {
    function append(address recipient, uint256 amountGwei, Reason reason) external;
    function burn() external payable;
}

interface IBonds {
    function bonded(address authority) external view returns (bool);
    function slash(address authority, uint16 bps, address beneficiary) external;
}

/// @dev What an authority said about a claim, as the trials of Bonds read it.
interface ILearningRounds {
    function entryOf(uint64 round, address authority, uint8 seat)
        external
        view
        returns (uint64 setVersion, uint64 revealedBlock, uint8 kind, ClaimStatus status);
    function rejectByReferee(uint64 round, address trainer) external returns (bool rejected);
}
