// SPDX-License-Identifier: MIT
// Owns the queue of amounts to mint and the count of what was minted and burned. It does not decide who is paid.
pragma solidity 0.8.37;

import {LEARNING_ROUNDS, NotAllowed, Reason, SYSTEM} from "./Protocol.sol";

/// @title Rewards: the queue that the chain turns into withdrawals (EIP-4895)
/// @notice Block N's withdrawals are the first entries pending in block N-1's state; the chain then calls markPaid.
/// It is also where slashed stake ends: coins sent to burn() can never leave.
contract Rewards {
    struct Entry {
        address recipient;
        uint96 amountGwei;
    }

    // Slots 0 to 2 and the mapping at 3 are read by the chain without a call: their layout is part of the protocol.
    uint64 private head;
    uint64 private tail;
    uint128 public mintedGwei;
    uint128 public paidGwei;
    uint256 public totalBurned;
    mapping(uint256 index => Entry) private entries;

    /// @notice An amount was queued for minting.
    event Minted(address indexed recipient, uint256 amountGwei, Reason indexed reason, uint64 index);
    /// @notice The chain minted the first `count` entries by withdrawals.
    event Paid(uint256 count, uint256 amountGwei);
    /// @notice Coins left circulation for good.
    event Burned(address indexed from, uint256 amountWei);

    /// @notice Amount is zero or no withdrawal could carry it.
    error AmountOutOfRange(uint256 amountGwei);
    /// @notice More entries named than are pending.
    error NotPending(uint256 count, uint256 pending);

    /// @notice Queues `amountGwei` for `recipient`. Only LearningRounds.
    function append(address recipient, uint256 amountGwei, Reason reason) external {
        if (msg.sender != LEARNING_ROUNDS) revert NotAllowed(msg.sender);
        if (amountGwei == 0 || amountGwei > type(uint64).max) revert AmountOutOfRange(amountGwei);
        uint64 index = tail;
        tail = index + 1;
        mintedGwei += uint128(amountGwei);
        entries[index] = Entry(recipient, uint96(amountGwei));
        emit Minted(recipient, amountGwei, reason, index);
    }

    /// @notice Removes the first `count` entries, which the chain has just paid. Only the chain itself.
    function markPaid(uint256 count) external {
        if (msg.sender != SYSTEM) revert NotAllowed(msg.sender);
        uint64 first = head;
        uint256 waiting = tail - first;
        if (count > waiting) revert NotPending(count, waiting);
        uint256 sum;
        for (uint256 i; i < count; ++i) {
            sum += entries[first + i].amountGwei;
            delete entries[first + i];
        }
        head = first + uint64(count);
        paidGwei += uint128(sum);
        emit Paid(count, sum);
    }

    /// @notice Takes the coins sent along out of circulation.
    function burn() external payable {
        totalBurned += msg.value;
        emit Burned(msg.sender, msg.value);
    }

    /// @notice The first entries of the queue, at most `most` of them, oldest first.
    function pending(uint256 most) external view returns (Entry[] memory list) {
        uint64 first = head;
        uint256 waiting = tail - first;
        list = new Entry[](most < waiting ? most : waiting);
        for (uint256 i; i < list.length; ++i) list[i] = entries[first + i];
    }

    /// @notice Entries waiting.
    function pendingCount() external view returns (uint256) {
        return tail - head;
    }

    /// @notice Wei queued for minting since genesis.
    function totalMinted() external view returns (uint256) {
        return uint256(mintedGwei) * 1 gwei;
    }
}
