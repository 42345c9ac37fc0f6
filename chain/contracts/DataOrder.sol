// SPDX-License-Identifier: MIT
// Owns the data order (rules O-1 and O-2 of docs/protocol/learning-round.md): which sequence stands at a position.
pragma solidity 0.8.37;

/// @title The keyed permutation of the training sequences
library DataOrder {
    uint256 private constant ROUNDS = 6;

    /// @notice The training sequence at a position counted from genesis.
    function sequenceAt(bytes32 trainingRoot, uint256 sequences, uint256 position) internal pure returns (uint256 value) {
        uint256 bits = 1;
        while (1 << (2 * bits) < sequences) ++bits;
        bytes32 key =
            sha256(abi.encodePacked(sha256("pol-node/data-order"), trainingRoot, uint64(position / sequences)));
        value = position % sequences;
        do value = _feistel(key, bits, value);
        while (value >= sequences);
    }

    function _feistel(bytes32 key, uint256 bits, uint256 value) private pure returns (uint256) {
        bytes32 tag = sha256("pol-node/data-order-round");
        uint256 mask = (1 << bits) - 1;
        uint256 left = value >> bits;
        uint256 right = value & mask;
        for (uint256 i; i < ROUNDS; ++i) {
            uint256 word = uint256(sha256(abi.encodePacked(tag, key, uint8(i), uint32(right)))) >> 224;
            (left, right) = (right, left ^ (word & mask));
        }
        return (left << bits) | right;
    }
}
