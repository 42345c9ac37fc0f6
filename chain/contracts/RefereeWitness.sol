// SPDX-License-Identifier: MIT
// Owns the form of a piece and its witness: operands committed by Merkle root, leaves opened against them, elements read.
// What is computed from them is Referee.sol.
pragma solidity 0.8.37;

import {RefereeRows} from "./RefereeRows.sol";

/// @notice A tensor in a tree of base/merkle.ts: leaves of `leafBytes` (the last may be shorter), `offset` bytes before it.
struct Operand {
    bytes32 root;
    uint32 leaves;
    uint32 leafBytes;
    uint32 offset;
    uint32 length;
}

/// @notice One piece of one instruction: what is computed, of which operands (inputs, then outputs), with which numbers.
struct Piece {
    uint16 part;
    Operand[] operands;
    uint32[] numbers;
}

/// @notice One leaf of one operand with the sibling hashes to its root, bottom up; levels without a sibling are left out.
struct Opening {
    uint8 operand;
    uint32 index;
    bytes leaf;
    bytes32[] siblings;
}

/// @title Merkle-opened operands
abstract contract RefereeWitness {
    uint256 internal constant MAX_OPENINGS = 64;
    uint256 internal constant MAX_LEAF_BYTES = 65_536;
    uint256 internal constant MAX_SIBLINGS = 32;

    error PieceRefused();
    error OpeningRefused(uint256 opening);
    error LeafMissing(uint256 operand, uint256 index);
    error ElementOutOfRange(uint256 operand, uint256 element);

    function _checkOpenings(Piece calldata piece, Opening[] calldata witness) internal pure {
        if (witness.length > MAX_OPENINGS) revert OpeningRefused(MAX_OPENINGS);
        for (uint256 i; i < witness.length; ++i) {
            if (!_opens(piece, witness[i])) revert OpeningRefused(i);
        }
    }

    function _opens(Piece calldata piece, Opening calldata opening) private pure returns (bool) {
        if (opening.operand >= piece.operands.length) return false;
        Operand calldata operand = piece.operands[opening.operand];
        uint256 size = opening.leaf.length;
        if (operand.leafBytes & 3 != 0 || operand.leafBytes > MAX_LEAF_BYTES || operand.offset & 3 != 0) return false;
        if (opening.index >= operand.leaves || size > operand.leafBytes || opening.siblings.length > MAX_SIBLINGS) {
            return false;
        }
        if (size != operand.leafBytes && opening.index + 1 != operand.leaves) return false;
        bytes32 hash = sha256(bytes.concat(bytes1(0), opening.leaf));
        uint256 used;
        uint256 place = opening.index;
        for (uint256 width = operand.leaves; width > 1; (place >>= 1, width = (width + 1) >> 1)) {
            bool isRight = place & 1 == 1;
            if (!isRight && place + 1 >= width) continue;
            if (used == opening.siblings.length) return false;
            bytes32 sibling = opening.siblings[used++];
            hash = isRight
                ? sha256(bytes.concat(bytes1(uint8(1)), sibling, hash))
                : sha256(bytes.concat(bytes1(uint8(1)), hash, sibling));
        }
        return used == opening.siblings.length && hash == operand.root;
    }

    /// @dev 32-bit elements from, from + stride, ... of an operand, little-endian in the leaves.
    function _read(Piece calldata piece, Opening[] calldata witness, uint256 k, uint256 from, uint256 count, uint256 stride)
        internal
        pure
        returns (uint256[] memory values)
    {
        if (k >= piece.operands.length) revert PieceRefused();
        Operand calldata operand = piece.operands[k];
        if (count == 0 || from + (count - 1) * stride >= operand.length) revert ElementOutOfRange(k, from);
        values = new uint256[](count);
        unchecked {
            // Everything here is below 2^64: lengths, offsets and strides are 32-bit numbers.
            uint256 place = operand.offset + 4 * from;
            uint256 step = 4 * stride;
            for (uint256 i; i < count;) {
                (uint256 end, uint256 data) = _leaf(operand, witness, k, place);
                // Words never straddle leaves: sizes and offsets are multiples of four.
                uint256 here = (end - 4 - place) / step + 1;
                if (here > count - i) here = count - i;
                assembly ("memory-safe") {
                    let to := add(add(values, 32), shl(5, i))
                    let word := add(data, place)
                    for { let past := add(to, shl(5, here)) } lt(to, past) { to := add(to, 32) } {
                        let value := shr(224, calldataload(word))
                        value := or(shl(8, and(value, 0x00ff00ff)), and(shr(8, value), 0x00ff00ff))
                        mstore(to, or(shl(16, and(value, 0xffff)), shr(16, value)))
                        word := add(word, step)
                    }
                }
                i += here;
                place += here * step;
            }
        }
    }

    function _readOne(Piece calldata piece, Opening[] calldata witness, uint256 k, uint256 element)
        internal
        pure
        returns (uint256)
    {
        if (k >= piece.operands.length) revert PieceRefused();
        Operand calldata operand = piece.operands[k];
        if (element >= operand.length) revert ElementOutOfRange(k, element);
        unchecked {
            uint256 place = operand.offset + 4 * element;
            (, uint256 data) = _leaf(operand, witness, k, place);
            return _word(data + place);
        }
    }

    /// @dev The piece's numbers, which must be so many.
    function _numbers(Piece calldata piece, uint256 count) internal pure returns (uint256[] memory numbers) {
        if (piece.numbers.length != count) revert PieceRefused();
        numbers = new uint256[](count);
        for (uint256 i; i < count; ++i) numbers[i] = piece.numbers[i];
    }

    /// @dev An output is as computed, and a number.
    function _same(uint256 value, uint256 claimed) internal pure returns (bool) {
        return value & 0x7f800000 != 0x7f800000 && value == claimed;
    }

    /// @dev Numbers of one row of a ledger of lanes over so many terms: sixteen for each block of 1,024.
    function _laneWords(uint256 terms) internal pure returns (uint256) {
        return ((terms + 1023) >> 10) << 4;
    }

    /// @dev First term and count, sixteen apart, that block and lane of `place` add.
    function _laneTerms(uint256 terms, uint256 place) internal pure returns (uint256 first, uint256 count) {
        if (place >= _laneWords(terms)) revert PieceRefused();
        first = ((place >> 4) << 10) + (place & 15);
        uint256 end = ((place >> 4) + 1) << 10;
        if (end > terms) end = terms;
        count = first < end ? (end - first + 15) >> 4 : 0;
    }

    /// @dev The sum a row of a ledger of lanes comes to.
    function _folded(Piece calldata piece, Opening[] calldata witness, uint256 k, uint256 terms, uint256 row)
        internal
        pure
        returns (uint256)
    {
        uint256 words = _laneWords(terms);
        return RefereeRows.fold(_read(piece, witness, k, row * words + words - 16, 16, 1));
    }

    /// @dev Last byte + 1 of the opened leaf that holds byte `place`, and what to add to a place for its place in calldata.
    function _leaf(Operand calldata operand, Opening[] calldata witness, uint256 k, uint256 place)
        private
        pure
        returns (uint256 end, uint256 data)
    {
        uint256 index = place / operand.leafBytes;
        for (uint256 i; i < witness.length; ++i) {
            Opening calldata opening = witness[i];
            if (opening.operand != k || opening.index != index) continue;
            bytes calldata leaf = opening.leaf;
            uint256 start = index * operand.leafBytes;
            end = start + leaf.length;
            if (place + 4 > end) break;
            assembly ("memory-safe") {
                data := sub(leaf.offset, start)
            }
            return (end, data);
        }
        revert LeafMissing(k, index);
    }

    /// @dev The 32-bit little-endian word that starts so far into calldata.
    function _word(uint256 place) private pure returns (uint256 value) {
        assembly ("memory-safe") {
            value := shr(224, calldataload(place))
            value := or(shl(8, and(value, 0x00ff00ff)), and(shr(8, value), 0x00ff00ff))
            value := or(shl(16, and(value, 0xffff)), shr(16, value))
        }
    }
}
