// SPDX-License-Identifier: MIT
// Owns the verdict on pieces whose outputs need a few elements each: elementwise instructions, the optimizer, rotary
// positions, embeddings, caches. Rules 2.x of docs/protocol/referee.md name each part's operands and numbers.
pragma solidity 0.8.37;

import {SoftFloat} from "./SoftFloat.sol";
import {RefereeRows} from "./RefereeRows.sol";
import {Opening, Piece, RefereeWitness} from "./RefereeWitness.sol";

/// @title Referee of elements
contract RefereeElements is RefereeWitness {
    using SoftFloat for uint256;
    using RefereeRows for uint256[];

    uint256 private constant EMBED = 1;
    uint256 private constant EMBED_GRAD = 2;
    uint256 private constant ROPE = 9;
    uint256 private constant SWIGLU = 12;
    uint256 private constant SWIGLU_GRAD = 13;
    uint256 private constant ADD = 16;
    uint256 private constant SCALE = 17;
    uint256 private constant COPY = 18;
    uint256 private constant ZERO = 19;
    uint256 private constant ADAM_W = 21;
    uint256 private constant CACHE_WRITE = 22;
    uint256 private constant EMBED_PREVIOUS = 140;
    uint256 private constant EMBED_LAST = 141;
    uint256 private constant EMBED_RUN = 142;
    uint256 private constant ADAM_FIRST = 143;
    uint256 private constant ADAM_SECOND = 144;
    uint256 private constant CACHE_WRITER = 145;
    /// @dev -1: no row.
    uint256 private constant NONE = 0xffffffff;

    /// @notice See Referee.judge.
    function judge(Piece calldata piece, Opening[] calldata witness) external pure returns (bool) {
        _checkOpenings(piece, witness);
        uint256 part = piece.part;
        if (part == EMBED) return _embed(piece, witness);
        if (part == EMBED_PREVIOUS) return _embedPrevious(piece, witness);
        if (part == EMBED_LAST) return _embedLast(piece, witness);
        if (part == EMBED_RUN) return _embedRun(piece, witness);
        if (part == EMBED_GRAD) return _embedGrad(piece, witness);
        if (part == ROPE) return _rope(piece, witness);
        if (part == SWIGLU_GRAD) return _swigluGrad(piece, witness);
        if (part == ADAM_FIRST || part == ADAM_SECOND) return _adamMoment(piece, witness);
        if (part == ADAM_W) return _adamW(piece, witness);
        if (part == CACHE_WRITER) return _cacheWriter(piece, witness);
        if (part == CACHE_WRITE) return _cacheWrite(piece, witness);
        if (part == ADD || part == SCALE || part == COPY || part == SWIGLU || part == ZERO) {
            return _elements(piece, witness);
        }
        revert PieceRefused();
    }

    /// @dev Rule G1. numbers: width, vocabulary | row, column. Operands: table, ids, out.
    function _embed(Piece calldata piece, Opening[] calldata witness) private pure returns (bool) {
        uint256[] memory n = _numbers(piece, 4);
        if (n[3] >= n[0]) revert PieceRefused();
        uint256 id = _readOne(piece, witness, 1, n[2]);
        if (id >= n[1]) return false;
        return _same(_readOne(piece, witness, 0, id * n[0] + n[3]), _readOne(piece, witness, 2, n[2] * n[0] + n[3]));
    }

    /// @dev previous[t] is the last row before t with t's id, or -1. numbers: vocabulary | row, counter-example.
    /// Operands: ids, previous.
    function _embedPrevious(Piece calldata piece, Opening[] calldata witness) private pure returns (bool) {
        uint256[] memory n = _numbers(piece, 3);
        (uint256 t, uint256 other) = (n[1], n[2]);
        uint256 id = _readOne(piece, witness, 0, t);
        if (id >= n[0]) return false;
        uint256 previous = _readOne(piece, witness, 1, t);
        if (previous != NONE && (previous >= t || _readOne(piece, witness, 0, previous) != id)) return false;
        bool between = other < t && (previous == NONE || other > previous);
        return !between || _readOne(piece, witness, 0, other) != id;
    }

    /// @dev last[v] is the last row with id v, or -1. numbers: | id, counter-example. Operands: ids, last.
    function _embedLast(Piece calldata piece, Opening[] calldata witness) private pure returns (bool) {
        uint256[] memory n = _numbers(piece, 2);
        (uint256 id, uint256 other) = (n[0], n[1]);
        uint256 last = _readOne(piece, witness, 1, id);
        uint256 rows = piece.operands[0].length;
        if (last != NONE && (last >= rows || _readOne(piece, witness, 0, last) != id)) return false;
        bool later = other < rows && (last == NONE || other > last);
        return !later || _readOne(piece, witness, 0, other) != id;
    }

    /// @dev Rule G2 up to row t. numbers: width | row, column. Operands: dOut, previous, runs.
    function _embedRun(Piece calldata piece, Opening[] calldata witness) private pure returns (bool) {
        uint256[] memory n = _numbers(piece, 3);
        if (n[2] >= n[0]) revert PieceRefused();
        uint256 place = n[1] * n[0] + n[2];
        uint256 previous = _readOne(piece, witness, 1, n[1]);
        if (previous != NONE && previous >= n[1]) return false;
        uint256 before = previous == NONE ? 0 : _readOne(piece, witness, 2, previous * n[0] + n[2]);
        uint256 term = _readOne(piece, witness, 0, place);
        return term.finite() && before.add(term) == _readOne(piece, witness, 2, place);
    }

    /// @dev numbers: width | id, column. Operands: last, runs, dTable.
    function _embedGrad(Piece calldata piece, Opening[] calldata witness) private pure returns (bool) {
        uint256[] memory n = _numbers(piece, 3);
        if (n[2] >= n[0]) revert PieceRefused();
        uint256 last = _readOne(piece, witness, 0, n[1]);
        uint256 value;
        if (last != NONE) {
            if (last * n[0] + n[2] >= piece.operands[1].length) return false;
            value = _readOne(piece, witness, 1, last * n[0] + n[2]);
        }
        return _same(value, _readOne(piece, witness, 2, n[1] * n[0] + n[2]));
    }

    /// @dev Rule P1. numbers: row width, head width, positions, inverse | row, column. Operands: x, table, pos, out.
    function _rope(Piece calldata piece, Opening[] calldata witness) private pure returns (bool) {
        uint256[] memory n = _numbers(piece, 6);
        if (n[5] >= n[0]) revert PieceRefused();
        uint256 position = _readOne(piece, witness, 2, n[4]);
        if (position >= n[2]) return false;
        uint256 half = n[1] >> 1;
        uint256 i = n[5] % n[1];
        bool upper = i >= half;
        if (upper) i -= half;
        uint256 first = n[4] * n[0] + n[5] - (upper ? half : 0);
        uint256[] memory x = _read(piece, witness, 0, first, 2, half);
        uint256[] memory turn = _read(piece, witness, 1, position * n[1] + i, 2, half);
        if (!x.allFinite() || !turn.allFinite()) return false;
        if (n[3] == 1) turn[1] = turn[1].negate();
        uint256 value = upper ? x[1].mul(turn[0]).add(x[0].mul(turn[1])) : x[0].mul(turn[0]).sub(x[1].mul(turn[1]));
        return _same(value, _readOne(piece, witness, 3, n[4] * n[0] + n[5]));
    }

    /// @dev numbers: for scale the factor's bits | first element, count.
    function _elements(Piece calldata piece, Opening[] calldata witness) private pure returns (bool) {
        unchecked {
            uint256 part = piece.part;
            bool pair = part == ADD || part == SWIGLU;
            uint256[] memory n = _numbers(piece, part == SCALE ? 3 : 2);
            (uint256 from, uint256 count) = (n[n.length - 2], n[n.length - 1]);
            uint256[] memory out = _read(piece, witness, pair ? 2 : part == ZERO ? 0 : 1, from, count, 1);
            uint256[] memory a = part == ZERO ? new uint256[](count) : _read(piece, witness, 0, from, count, 1);
            uint256[] memory b = pair ? _read(piece, witness, 1, from, count, 1) : a;
            if (!a.allFinite() || !b.allFinite()) return false;
            for (uint256 i; i < count; ++i) {
                uint256 z = a[i];
                if (part == ADD) z = z.add(b[i]);
                else if (part == SCALE) z = z.mul(n[0]);
                else if (part == SWIGLU) z = z.mul(z.sigmoid()).mul(b[i]);
                if (!_same(z, out[i])) return false;
            }
            return true;
        }
    }

    /// @dev Rule S2. numbers: output (0 dGate, 1 dUp) | first element, count. Operands: dOut, gate, up, that output.
    function _swigluGrad(Piece calldata piece, Opening[] calldata witness) private pure returns (bool) {
        unchecked {
            uint256[] memory n = _numbers(piece, 3);
            if (n[0] > 1) revert PieceRefused();
            uint256[][4] memory x;
            for (uint256 k; k < 4; ++k) x[k] = _read(piece, witness, k, n[1], n[2], 1);
            if (!x[0].allFinite() || !x[1].allFinite() || !x[2].allFinite()) return false;
            for (uint256 i; i < n[2]; ++i) {
                uint256 g = x[1][i];
                uint256 s = g.sigmoid();
                uint256 z;
                if (n[0] == 1) {
                    z = x[0][i].mul(g.mul(s));
                } else {
                    uint256 slope = s.mul(SoftFloat.ONE.add(g.mul(SoftFloat.ONE.sub(s))));
                    z = x[0][i].mul(x[2][i]).mul(slope);
                }
                if (!_same(z, x[3][i])) return false;
            }
            return true;
        }
    }

    /// @dev Rule O2, m' or v'. numbers: | element. Operands: m or v before, g, norm, hyper, m or v after.
    function _adamMoment(Piece calldata piece, Opening[] calldata witness) private pure returns (bool) {
        uint256 i = _numbers(piece, 1)[0];
        uint256 norm = _readOne(piece, witness, 2, 0);
        uint256[] memory hyper = _read(piece, witness, 3, 0, 8, 1);
        uint256 old = _readOne(piece, witness, 0, i);
        uint256 g = _readOne(piece, witness, 1, i);
        if (!norm.finite() || !hyper.allFinite() || !old.finite() || !g.finite()) return false;
        bool clips = SoftFloat.compare(hyper[7], 0) > 0 && SoftFloat.compare(norm, hyper[7]) > 0;
        g = g.mul(clips ? hyper[7].div(norm) : SoftFloat.ONE);
        bool second = piece.part == ADAM_SECOND;
        uint256 keep = hyper[second ? 2 : 1];
        uint256 value = keep.mul(old).add(SoftFloat.ONE.sub(keep).mul(second ? g.mul(g) : g));
        return _same(value, _readOne(piece, witness, 4, i));
    }

    /// @dev Rule O2, p'. numbers: decay | element. Operands: p before, m and v after, hyper, p after.
    function _adamW(Piece calldata piece, Opening[] calldata witness) private pure returns (bool) {
        uint256[] memory n = _numbers(piece, 2);
        uint256[] memory hyper = _read(piece, witness, 3, 0, 8, 1);
        uint256 p = _readOne(piece, witness, 0, n[1]);
        uint256 m = _readOne(piece, witness, 1, n[1]);
        uint256 v = _readOne(piece, witness, 2, n[1]);
        if (!hyper.allFinite() || !p.finite() || !m.finite() || !v.finite()) return false;
        uint256 root = v.mul(SoftFloat.ONE.div(hyper[6])).sqrt();
        uint256 step = m.mul(SoftFloat.ONE.div(hyper[5])).div(root.add(hyper[3]));
        uint256 shrink = n[0] == 1 ? hyper[4] : 0;
        return _same(p.sub(hyper[0].mul(step.add(shrink.mul(p)))), _readOne(piece, witness, 4, n[1]));
    }

    /// @dev writers[s * P + p] is the last row written to position p of slot s, or -1. numbers: positions | place,
    /// counter-example. Operands: slot, pos, writers.
    function _cacheWriter(Piece calldata piece, Opening[] calldata witness) private pure returns (bool) {
        uint256[] memory n = _numbers(piece, 3);
        if (n[0] == 0) revert PieceRefused();
        uint256 writer = _readOne(piece, witness, 2, n[1]);
        uint256 rows = piece.operands[0].length;
        if (writer != NONE && (writer >= rows || !_writes(piece, witness, writer, n))) return false;
        bool later = n[2] < rows && (writer == NONE || n[2] > writer);
        return !later || !_writes(piece, witness, n[2], n);
    }

    function _writes(Piece calldata piece, Opening[] calldata witness, uint256 row, uint256[] memory n)
        private
        pure
        returns (bool)
    {
        return _readOne(piece, witness, 0, row) == n[1] / n[0] && _readOne(piece, witness, 1, row) == n[1] % n[0];
    }

    /// @dev Rule G3. numbers: row width | place, column. Operands: rows, cache before, writers, cache after.
    function _cacheWrite(Piece calldata piece, Opening[] calldata witness) private pure returns (bool) {
        uint256[] memory n = _numbers(piece, 3);
        if (n[2] >= n[0]) revert PieceRefused();
        uint256 writer = _readOne(piece, witness, 2, n[1]);
        uint256 place = n[1] * n[0] + n[2];
        if (writer == NONE) return _readOne(piece, witness, 1, place) == _readOne(piece, witness, 3, place);
        if (writer * n[0] >= piece.operands[0].length) return false;
        return _same(_readOne(piece, witness, 0, writer * n[0] + n[2]), _readOne(piece, witness, 3, place));
    }
}
