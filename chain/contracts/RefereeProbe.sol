// SPDX-License-Identifier: MIT
// Owns the door through which tests reach SoftFloat in bulk. It stands on no network.
pragma solidity 0.8.37;

import {SoftFloat} from "./SoftFloat.sol";

/// @title Soft-float in bulk
contract RefereeProbe {
    /// @notice One operation on each pair of 32-bit words, big-endian and packed; results packed the same way.
    function batch(uint8 operation, bytes calldata pairs) external pure returns (bytes memory results) {
        uint256 count = pairs.length / 8;
        results = new bytes(4 * count + 32);
        for (uint256 i; i < count; ++i) {
            uint256 a;
            uint256 b;
            assembly ("memory-safe") {
                let word := calldataload(add(pairs.offset, mul(8, i)))
                a := shr(224, word)
                b := and(shr(192, word), 0xffffffff)
            }
            uint256 z = _apply(operation, a, b) & 0xffffffff;
            assembly ("memory-safe") {
                mstore(add(add(results, 32), mul(4, i)), shl(224, z))
            }
        }
        assembly ("memory-safe") {
            mstore(results, mul(4, count))
        }
    }

    function _apply(uint8 operation, uint256 a, uint256 b) private pure returns (uint256) {
        if (operation == 0) return SoftFloat.add(a, b);
        if (operation == 1) return SoftFloat.sub(a, b);
        if (operation == 2) return SoftFloat.mul(a, b);
        if (operation == 3) return SoftFloat.div(a, b);
        if (operation == 4) return SoftFloat.sqrt(a);
        if (operation == 5) return uint256(SoftFloat.compare(a, b));
        if (operation == 6) return SoftFloat.fromInt(int256(int32(uint32(a))));
        if (operation == 7) return uint256(SoftFloat.toNearest(a));
        if (operation == 8) return uint256(SoftFloat.toFloor(a));
        if (operation == 9) return SoftFloat.bf16(a);
        if (operation == 10) return SoftFloat.exp(a);
        return SoftFloat.log(a);
    }
}
