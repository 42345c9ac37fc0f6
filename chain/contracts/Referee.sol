// SPDX-License-Identifier: MIT
// Owns the one door of the referee: which contract judges which part. It keeps no state and knows no parties: who has to
// show which piece is the dispute's business.
pragma solidity 0.8.37;

import {Opening, Piece} from "./RefereeWitness.sol";

/// @title Referee
/// @notice `judge` says whether a piece of an instruction is as docs/protocol/kernel-spec.md has it. A witness that does not
/// open the operands is refused (reverts): it proves nothing either way. Parts below 128 are instruction codes.
contract Referee {
    address private constant ELEMENTS = 0x504f4c0000000000000000000000000000000009;
    address private constant LINES = 0x504F4c000000000000000000000000000000000A;
    address private constant ATTENTION = 0x504f4c000000000000000000000000000000000b;

    /// @dev Bit p is set for part p.
    uint256 private constant OF_ELEMENTS = 0x3f000000000000000000000000000006f3206;
    uint256 private constant OF_LINES = 0x00000ffc001e000000000000000000000000000001f8;
    uint256 private constant OF_ATTENTION = 0xffff000000010000000000000000000000000000cc00;

    error PieceRefused();
    error OpeningRefused(uint256 opening);
    error LeafMissing(uint256 operand, uint256 index);
    error ElementOutOfRange(uint256 operand, uint256 element);
    error PartUnknown(uint256 part);

    /// @notice True when every output element of the piece has the specification's bits and all it reads is finite.
    function judge(Piece calldata piece, Opening[] calldata witness) external view returns (bool) {
        witness;
        uint256 bit = 1 << piece.part;
        address judged = bit & OF_ELEMENTS != 0
            ? ELEMENTS
            : bit & OF_LINES != 0 ? LINES : bit & OF_ATTENTION != 0 ? ATTENTION : address(0);
        if (judged == address(0)) revert PartUnknown(piece.part);
        assembly ("memory-safe") {
            let data := mload(0x40)
            calldatacopy(data, 0, calldatasize())
            let done := staticcall(gas(), judged, data, calldatasize(), 0, 0)
            returndatacopy(data, 0, returndatasize())
            if iszero(done) { revert(data, returndatasize()) }
            return(data, returndatasize())
        }
    }
}
