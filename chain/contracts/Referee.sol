// SPDX-License-Identifier: MIT
// Owns the verdict on one piece of one instruction, by docs/protocol/kernel-spec.md. It keeps no state and knows no parties:
// who has to show which piece is the dispute's business.
pragma solidity 0.8.37;

import {SoftFloat} from "./SoftFloat.sol";
import {RefereeRows} from "./RefereeRows.sol";
import {Opening, Piece, RefereeWitness} from "./RefereeWitness.sol";

/// @title Referee
/// @notice `judge` says whether the outputs of a piece are those of the specification. A witness that does not open the
/// operands is refused (reverts): it proves nothing either way. Parts below 128 are instruction codes.
contract Referee is RefereeWitness {
    using SoftFloat for uint256;
    using RefereeRows for uint256[];

    uint256 private constant RMS_NORM = 3;
    uint256 private constant LINEAR = 6;
    uint256 private constant LINEAR_GRAD_X = 7;
    uint256 private constant LINEAR_GRAD_W = 8;
    uint256 private constant SWIGLU = 12;
    uint256 private constant SWIGLU_GRAD = 13;
    uint256 private constant ADD = 16;
    uint256 private constant SCALE = 17;
    uint256 private constant COPY = 18;
    uint256 private constant ADAM_W = 21;
    /// @dev Two layouts of one tensor agree at one element.
    uint256 private constant TURN = 128;
    /// @dev gradNorm in four parts; its ledger has 18 numbers a chunk: sixteen lanes, their fold, the running total.
    uint256 private constant NORM_LANE = 129;
    uint256 private constant NORM_FOLD = 130;
    uint256 private constant NORM_TOTAL = 131;
    uint256 private constant NORM_ROOT = 132;
    uint256 private constant LEDGER = 18;
    uint256 private constant CHUNK = 4096;

    error PartUnknown(uint256 part);

    /// @notice True when every output element of the piece has the specification's bits and all it reads is finite.
    function judge(Piece calldata piece, Opening[] calldata witness) external pure returns (bool) {
        _checkOpenings(piece, witness);
        uint256 part = piece.part;
        if (part == LINEAR || part == LINEAR_GRAD_X || part == LINEAR_GRAD_W) return _linear(piece, witness);
        if (part == ADD || part == SCALE || part == COPY || part == SWIGLU) return _elements(piece, witness);
        if (part == SWIGLU_GRAD) return _swigluGrad(piece, witness);
        if (part == ADAM_W) return _adamW(piece, witness);
        if (part == RMS_NORM) return _rmsNorm(piece, witness);
        if (part == TURN) return _turn(piece, witness);
        if (part == NORM_LANE) return _normLane(piece, witness);
        if (part == NORM_FOLD) return _normFold(piece, witness);
        if (part == NORM_TOTAL) return _normTotal(piece, witness);
        if (part == NORM_ROOT) return _normRoot(piece, witness);
        revert PartUnknown(part);
    }

    function _same(uint256 value, uint256 claimed) private pure returns (bool) {
        return value.finite() && value == claimed;
    }

    /// @dev numbers: rows and columns of the output, contraction, row, column, right operand turned (0 or 1), seed words,
    /// tensor id. Operands: left, right, output, as in the instruction table without the seed.
    function _linear(Piece calldata piece, Opening[] calldata witness) private pure returns (bool) {
        uint32[] calldata n = piece.numbers;
        if (n.length != 9 || n[3] >= n[0] || n[4] >= n[1]) revert PieceRefused();
        uint256[] memory left = _leftLine(piece, witness);
        uint256[] memory right = _rightLine(piece, witness);
        if (!left.allFinite() || !right.allFinite()) return false;
        uint256 scaleLeft;
        uint256 scaleRight;
        if (piece.part == LINEAR_GRAD_X) {
            uint256 key = RefereeRows.noiseKey(n[6], n[7], n[8], 1);
            scaleLeft = left.quantizeNoisy(key, [uint256(n[3]), 0, 0, 1, n[2]]);
        } else {
            scaleLeft = left.quantize();
        }
        if (piece.part == LINEAR_GRAD_W) {
            uint256 key = RefereeRows.noiseKey(n[6], n[7], n[8], 2);
            scaleRight = right.quantizeNoisy(key, [uint256(0), n[4], 1, 0, n[1]]);
        } else {
            scaleRight = right.quantize();
        }
        uint256 claimed = _readOne(piece, witness, 2, uint256(n[3]) * n[1] + n[4]);
        return _same(left.product(right, scaleLeft, scaleRight), claimed);
    }

    /// @dev Rows of the left operand, but columns in linearGradW. A turned operand holds its columns as rows.
    function _leftLine(Piece calldata piece, Opening[] calldata witness) private pure returns (uint256[] memory) {
        uint32[] calldata n = piece.numbers;
        bool column = piece.part == LINEAR_GRAD_W && n[5] & 2 == 0;
        return column
            ? _read(piece, witness, 0, n[3], n[2], n[0])
            : _read(piece, witness, 0, uint256(n[3]) * n[2], n[2], 1);
    }

    /// @dev Columns of the right operand, but rows in linearGradX.
    function _rightLine(Piece calldata piece, Opening[] calldata witness) private pure returns (uint256[] memory) {
        uint32[] calldata n = piece.numbers;
        bool column = piece.part != LINEAR_GRAD_X && n[5] & 1 == 0;
        return column
            ? _read(piece, witness, 1, n[4], n[2], n[1])
            : _read(piece, witness, 1, uint256(n[4]) * n[2], n[2], 1);
    }

    /// @dev numbers: first element, count, and for scale the factor's bits.
    function _elements(Piece calldata piece, Opening[] calldata witness) private pure returns (bool) {
        unchecked {
            uint256 part = piece.part;
            bool pair = part == ADD || part == SWIGLU;
            if (piece.numbers.length != (part == SCALE ? 3 : 2)) revert PieceRefused();
            (uint256 from, uint256 count) = (piece.numbers[0], piece.numbers[1]);
            uint256[] memory a = _read(piece, witness, 0, from, count, 1);
            uint256[] memory b = pair ? _read(piece, witness, 1, from, count, 1) : a;
            uint256[] memory out = _read(piece, witness, pair ? 2 : 1, from, count, 1);
            if (!a.allFinite() || !b.allFinite()) return false;
            for (uint256 i; i < count; ++i) {
                uint256 z = a[i];
                if (part == ADD) z = z.add(b[i]);
                else if (part == SCALE) z = z.mul(piece.numbers[2]);
                else if (part == SWIGLU) z = z.mul(z.sigmoid()).mul(b[i]);
                if (!_same(z, out[i])) return false;
            }
            return true;
        }
    }

    /// @dev Rule S2. numbers: first element, count. Operands: dOut, gate, up, dGate, dUp.
    function _swigluGrad(Piece calldata piece, Opening[] calldata witness) private pure returns (bool) {
        unchecked {
            if (piece.numbers.length != 2) revert PieceRefused();
            (uint256 from, uint256 count) = (piece.numbers[0], piece.numbers[1]);
            uint256[][5] memory x;
            for (uint256 k; k < 5; ++k) x[k] = _read(piece, witness, k, from, count, 1);
            if (!x[0].allFinite() || !x[1].allFinite() || !x[2].allFinite()) return false;
            for (uint256 i; i < count; ++i) {
                uint256 g = x[1][i];
                uint256 s = g.sigmoid();
                if (!_same(x[0][i].mul(g.mul(s)), x[4][i])) return false;
                uint256 slope = s.mul(SoftFloat.ONE.add(g.mul(SoftFloat.ONE.sub(s))));
                if (!_same(x[0][i].mul(x[2][i]).mul(slope), x[3][i])) return false;
            }
            return true;
        }
    }

    /// @dev Rule O2. numbers: first element, count, decay, norm, hyper 0 to 7. Operands: p, m, v, g, then p, m, v after.
    function _adamW(Piece calldata piece, Opening[] calldata witness) private pure returns (bool) {
        unchecked {
            uint32[] calldata n = piece.numbers;
            if (n.length != 12 || n[2] > 1) revert PieceRefused();
            uint256[][7] memory x;
            for (uint256 k; k < 7; ++k) x[k] = _read(piece, witness, k, n[0], n[1], 1);
            for (uint256 k = 3; k < 12; ++k) if (!uint256(n[k]).finite()) return false;
            for (uint256 k; k < 4; ++k) if (!x[k].allFinite()) return false;
            // lr, b1, b2, eps, decay, 1 / bc1, 1 / bc2, clip factor.
            uint256[8] memory h = [uint256(n[4]), n[5], n[6], n[7], 0, 0, 0, SoftFloat.ONE];
            if (n[2] == 1) h[4] = n[8];
            h[5] = SoftFloat.ONE.div(n[9]);
            h[6] = SoftFloat.ONE.div(n[10]);
            if (SoftFloat.compare(n[11], 0) > 0 && SoftFloat.compare(n[3], n[11]) > 0) h[7] = uint256(n[11]).div(n[3]);
            for (uint256 i; i < n[1]; ++i) if (!_adamElement(x, h, i)) return false;
            return true;
        }
    }

    function _adamElement(uint256[][7] memory x, uint256[8] memory h, uint256 i) private pure returns (bool) {
        unchecked {
            uint256 g = x[3][i].mul(h[7]);
            uint256 m = h[1].mul(x[1][i]).add(SoftFloat.ONE.sub(h[1]).mul(g));
            if (!_same(m, x[5][i])) return false;
            uint256 v = h[2].mul(x[2][i]).add(SoftFloat.ONE.sub(h[2]).mul(g.mul(g)));
            if (!_same(v, x[6][i])) return false;
            uint256 u = m.mul(h[5]).div(v.mul(h[6]).sqrt().add(h[3]));
            uint256 p = x[0][i];
            return _same(p.sub(h[0].mul(u.add(h[4].mul(p)))), x[4][i]);
        }
    }

    /// @dev Rule N1 of one row. numbers: width, row, eps. Operands: x, gain, out, rstd.
    function _rmsNorm(Piece calldata piece, Opening[] calldata witness) private pure returns (bool) {
        unchecked {
            uint32[] calldata n = piece.numbers;
            if (n.length != 3) revert PieceRefused();
            uint256 width = n[0];
            uint256 start = width * n[1];
            uint256[] memory x = _read(piece, witness, 0, start, width, 1);
            uint256[] memory gain = _read(piece, witness, 1, 0, width, 1);
            uint256[] memory out = _read(piece, witness, 2, start, width, 1);
            if (!x.allFinite() || !gain.allFinite()) return false;
            uint256[] memory squares = new uint256[](width);
            for (uint256 d; d < width; ++d) squares[d] = x[d].mul(x[d]);
            uint256 mean = squares.laneSum().div(SoftFloat.fromInt(int256(width)));
            uint256 rstd = SoftFloat.ONE.div(mean.add(n[2]).sqrt());
            if (!_same(rstd, _readOne(piece, witness, 3, n[1]))) return false;
            for (uint256 d; d < width; ++d) if (!_same(x[d].mul(rstd).mul(gain[d]), out[d])) return false;
            return true;
        }
    }

    /// @dev numbers: rows, columns, row, column. Operands: the tensor, the tensor turned.
    function _turn(Piece calldata piece, Opening[] calldata witness) private pure returns (bool) {
        uint32[] calldata n = piece.numbers;
        if (n.length != 4 || n[2] >= n[0] || n[3] >= n[1]) revert PieceRefused();
        uint256 straight = _readOne(piece, witness, 0, uint256(n[2]) * n[1] + n[3]);
        return straight == _readOne(piece, witness, 1, uint256(n[3]) * n[0] + n[2]);
    }

    /// @dev Rules O1, R2, R1: one lane of one chunk. numbers: chunk in the tensor, lane, chunk in the ledger.
    /// Operands: gradient, ledger.
    function _normLane(Piece calldata piece, Opening[] calldata witness) private pure returns (bool) {
        uint32[] calldata n = piece.numbers;
        if (n.length != 3 || n[1] > 15) revert PieceRefused();
        uint256 from = uint256(n[0]) * CHUNK;
        uint256 size = piece.operands[0].length;
        if (from >= size) revert PieceRefused();
        size = size - from > CHUNK ? CHUNK : size - from;
        uint256 lane;
        if (n[1] < size) {
            uint256[] memory g = _read(piece, witness, 0, from + n[1], (size - n[1] + 15) >> 4, 16);
            if (!g.allFinite()) return false;
            for (uint256 i; i < g.length; ++i) lane = lane.add(g[i].mul(g[i]));
        }
        return _same(lane, _readOne(piece, witness, 1, LEDGER * n[2] + n[1]));
    }

    /// @dev numbers: chunk in the ledger. Operand: ledger.
    function _normFold(Piece calldata piece, Opening[] calldata witness) private pure returns (bool) {
        if (piece.numbers.length != 1) revert PieceRefused();
        uint256[] memory row = _read(piece, witness, 0, LEDGER * piece.numbers[0], LEDGER, 1);
        if (!row.allFinite()) return false;
        uint256 claimed = row[16];
        return _same(row.fold(), claimed);
    }

    /// @dev numbers: chunk in the ledger. Operand: ledger.
    function _normTotal(Piece calldata piece, Opening[] calldata witness) private pure returns (bool) {
        if (piece.numbers.length != 1) revert PieceRefused();
        uint256 first = LEDGER * piece.numbers[0];
        uint256 before = first == 0 ? 0 : _readOne(piece, witness, 0, first - 1);
        uint256[] memory row = _read(piece, witness, 0, first + 16, 2, 1);
        return before.finite() && row[0].finite() && _same(before.add(row[0]), row[1]);
    }

    /// @dev No numbers. Operands: ledger, norm.
    function _normRoot(Piece calldata piece, Opening[] calldata witness) private pure returns (bool) {
        if (piece.numbers.length != 0 || piece.operands.length != 2) revert PieceRefused();
        uint256 total = _readOne(piece, witness, 0, uint256(piece.operands[0].length) - 1);
        return total.finite() && _same(total.sqrt(), _readOne(piece, witness, 1, 0));
    }
}
