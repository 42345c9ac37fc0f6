// SPDX-License-Identifier: MIT
// Owns the Merkle trees of base/merkle.ts on chain: leaf = SHA-256(0 ‖ bytes), node = SHA-256(1 ‖ left ‖ right), an odd node
// carried up. What the trees hold is their owners' business.
pragma solidity 0.8.37;

/// @title Merkle trees over SHA-256
library MerkleTree {
    /// @notice An opening has too many or too few siblings, or names a leaf that is not there.
    error ProofRefused();

    function leafHash(bytes memory data) internal pure returns (bytes32) {
        return sha256(bytes.concat(bytes1(0), data));
    }

    function nodeHash(bytes32 left, bytes32 right) internal view returns (bytes32 hash) {
        assembly ("memory-safe") {
            let place := mload(0x40)
            mstore8(place, 1)
            mstore(add(place, 1), left)
            mstore(add(place, 33), right)
            // SHA-256 is the precompile at address 2; it fails only without gas, and then so does everything after it.
            if iszero(staticcall(gas(), 2, place, 65, 0, 32)) { revert(0, 0) }
            hash := mload(0)
        }
    }

    /// @notice The root over a node that stands at `index` of a level `width` wide; siblings bottom up.
    function climb(bytes32 hash, uint256 index, uint256 width, bytes32[] calldata siblings)
        internal
        view
        returns (bytes32)
    {
        if (index >= width) revert ProofRefused();
        uint256 used;
        for (; width > 1; (index >>= 1, width = (width + 1) >> 1)) {
            bool isRight = index & 1 == 1;
            if (!isRight && index + 1 >= width) continue;
            if (used == siblings.length) revert ProofRefused();
            bytes32 sibling = siblings[used++];
            hash = isRight ? nodeHash(sibling, hash) : nodeHash(hash, sibling);
        }
        if (used != siblings.length) revert ProofRefused();
        return hash;
    }

    /// @notice The root over nodes of one level, or of the part of it under one node. At least one.
    function fold(bytes32[] calldata nodes) internal view returns (bytes32) {
        uint256 width = nodes.length;
        if (width == 0) revert ProofRefused();
        bytes32[] memory level = nodes;
        for (; width > 1; width = (width + 1) >> 1) {
            for (uint256 i; i + 1 < width; i += 2) level[i >> 1] = nodeHash(level[i], level[i + 1]);
            if (width & 1 == 1) level[width >> 1] = level[width - 1];
        }
        return level[0];
    }
}
