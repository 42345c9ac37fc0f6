// SPDX-License-Identifier: MIT
// Owns the verdict on pieces of linear layers, of RMS norms and of the gradient norm: whatever is contracted along a line.
// Long sums are cut at ledgers; rules 2.x of docs/protocol/referee.md name each part's operands and numbers.
pragma solidity 0.8.37;

import {SoftFloat} from "./SoftFloat.sol";
import {RefereeRows} from "./RefereeRows.sol";
import {Opening, Piece, RefereeWitness} from "./RefereeWitness.sol";

/// @title Referee of lines
contract RefereeLines is RefereeWitness {
    using SoftFloat for uint256;
    using RefereeRows for uint256;
    using RefereeRows for uint256[];

    uint256 private constant RMS_NORM = 3;
    uint256 private constant RMS_GRAD_X = 4;
    uint256 private constant RMS_GRAD_GAIN = 5;
    uint256 private constant LINEAR = 6;
    uint256 private constant LINEAR_GRAD_X = 7;
    uint256 private constant LINEAR_GRAD_W = 8;
    uint256 private constant NORM_LANE = 129;
    uint256 private constant NORM_FOLD = 130;
    uint256 private constant NORM_TOTAL = 131;
    uint256 private constant NORM_ROOT = 132;
    uint256 private constant LINEAR_SUM = 146;
    uint256 private constant LINEAR_LAST = 147;
    uint256 private constant LINE_PEAK = 148;
    uint256 private constant LINE_CODE = 149;
    uint256 private constant LINE_NOISY_CODE = 150;
    uint256 private constant RMS_LANE = 151;
    uint256 private constant RMS_SCALE = 152;
    uint256 private constant RMS_GRAD_LANE = 153;
    uint256 private constant GAIN_RUN = 154;
    uint256 private constant GAIN_TOTAL = 155;
    /// @dev Codes of a contraction that one piece multiplies.
    uint256 private constant BLOCK = 16_384;
    /// @dev gradNorm's ledger has so many numbers a chunk: sixteen lanes, their fold, the running total.
    uint256 private constant LEDGER = 18;
    uint256 private constant CHUNK = 4096;
    /// @dev Rows of a chunk of rule N3.
    uint256 private constant ROWS = 64;

    /// @notice See Referee.judge.
    function judge(Piece calldata piece, Opening[] calldata witness) external pure returns (bool) {
        _checkOpenings(piece, witness);
        uint256 part = piece.part;
        if (part == LINEAR || part == LINEAR_GRAD_X || part == LINEAR_GRAD_W) return _linear(piece, witness);
        if (part == LINE_PEAK) return _linePeak(piece, witness);
        if (part == LINE_CODE || part == LINE_NOISY_CODE) return _lineCode(piece, witness);
        if (part == LINEAR_SUM) return _linearSum(piece, witness);
        if (part == LINEAR_LAST) return _linearLast(piece, witness);
        if (part == RMS_LANE || part == RMS_GRAD_LANE) return _rmsLane(piece, witness);
        if (part == RMS_SCALE) return _rmsScale(piece, witness);
        if (part == RMS_NORM) return _rmsNorm(piece, witness);
        if (part == RMS_GRAD_X) return _rmsGradX(piece, witness);
        if (part == GAIN_RUN) return _gainRun(piece, witness);
        if (part == GAIN_TOTAL) return _gainTotal(piece, witness);
        if (part == RMS_GRAD_GAIN) return _rmsGradGain(piece, witness);
        if (part == NORM_LANE) return _normLane(piece, witness);
        if (part == NORM_FOLD) return _normFold(piece, witness);
        if (part == NORM_TOTAL) return _normTotal(piece, witness);
        if (part == NORM_ROOT) return _normRoot(piece, witness);
        revert PieceRefused();
    }

    /// @dev Words of one line of a ledger of lines: place of the greatest magnitude, that magnitude, four codes a word.
    function _lineWords(uint256 depth) private pure returns (uint256) {
        return 2 + ((depth + 3) >> 2);
    }

    /// @dev numbers: lines, depth, elements between lines, elements between neighbours of a line | line, counter-example.
    /// Operands: tensor, lines. The place is the lowest one with the greatest magnitude.
    function _linePeak(Piece calldata piece, Opening[] calldata witness) private pure returns (bool) {
        uint256[] memory n = _numbers(piece, 6);
        if (n[4] >= n[0] || n[5] >= n[1]) revert PieceRefused();
        uint256[] memory head = _read(piece, witness, 1, n[4] * _lineWords(n[1]), 2, 1);
        if (head[0] >= n[1]) return false;
        uint256 top = _readOne(piece, witness, 0, n[4] * n[2] + head[0] * n[3]);
        uint256 other = _readOne(piece, witness, 0, n[4] * n[2] + n[5] * n[3]);
        if (!top.finite() || !other.finite()) return false;
        top &= 0x7fffffff;
        other &= 0x7fffffff;
        return top == head[1] && other <= top && (other != top || n[5] >= head[0]);
    }

    /// @dev Rules Q2 to Q4; the bytes behind a line's last code are zero. numbers: as before, for noise also the gradient's
    /// columns, tensor id, salt | line, place. Operands: tensor, lines, for noise the seed.
    function _lineCode(Piece calldata piece, Opening[] calldata witness) private pure returns (bool) {
        bool noisy = piece.part == LINE_NOISY_CODE;
        uint256[] memory n = _numbers(piece, noisy ? 9 : 6);
        (uint256 line, uint256 k) = (n[n.length - 2], n[n.length - 1]);
        uint256 words = _lineWords(n[1]);
        if (line >= n[0] || k >> 2 >= words - 2) revert PieceRefused();
        uint256 claimed = (_readOne(piece, witness, 1, line * words + 2 + (k >> 2)) >> (8 * (k & 3))) & 0xff;
        if (k >= n[1]) return claimed == 0;
        uint256 most = _readOne(piece, witness, 1, line * words + 1);
        uint256 x = _readOne(piece, witness, 0, line * n[2] + k * n[3]);
        if (!x.finite()) return false;
        if (!noisy) return x.code(most) == claimed;
        uint256[] memory seed = _read(piece, witness, 2, 0, 2, 1);
        uint256 key = RefereeRows.noiseKey(seed[0], seed[1], n[5], n[6]);
        // In linearGradX the lines are the gradient's rows, in linearGradW its columns.
        uint256 noise = n[6] == 1 ? key.noiseAt(n[4], line, k) : key.noiseAt(n[4], k, line);
        return x.noisyCode(most, noise) == claimed;
    }

    /// @dev Rule M1, depth of one block at most. numbers: rows, columns, depth | row, column. Operands: left and right
    /// lines, output.
    function _linear(Piece calldata piece, Opening[] calldata witness) private pure returns (bool) {
        uint256[] memory n = _numbers(piece, 5);
        if (n[2] > BLOCK || n[3] >= n[0] || n[4] >= n[1]) revert PieceRefused();
        uint256 words = _lineWords(n[2]);
        uint256[] memory left = _read(piece, witness, 0, n[3] * words + 1, words - 1, 1);
        uint256[] memory right = _read(piece, witness, 1, n[4] * words + 1, words - 1, 1);
        (uint256 mostLeft, uint256 mostRight) = (left[0], right[0]);
        (left[0], right[0]) = (0, 0);
        uint256 value = RefereeRows.product(left.codeProduct(right), mostLeft, mostRight);
        return _same(value, _readOne(piece, witness, 2, n[3] * n[1] + n[4]));
    }

    /// @dev One block's share of a long contraction, on from the block before. numbers: rows, columns, depth | row, column,
    /// block. Operands: left and right lines, sums.
    function _linearSum(Piece calldata piece, Opening[] calldata witness) private pure returns (bool) {
        uint256[] memory n = _numbers(piece, 6);
        uint256 blocks = (n[2] + BLOCK - 1) / BLOCK;
        if (n[3] >= n[0] || n[4] >= n[1] || n[5] >= blocks) revert PieceRefused();
        uint256 words = _lineWords(n[2]);
        uint256 skip = 2 + n[5] * (BLOCK / 4);
        uint256 count = n[5] + 1 == blocks ? words - skip : BLOCK / 4;
        uint256[] memory left = _read(piece, witness, 0, n[3] * words + skip, count, 1);
        uint256[] memory right = _read(piece, witness, 1, n[4] * words + skip, count, 1);
        uint256 place = (n[3] * n[1] + n[4]) * blocks + n[5];
        int256 sum = left.codeProduct(right);
        if (n[5] != 0) sum += int32(uint32(_readOne(piece, witness, 2, place - 1)));
        return uint256(sum) & 0xffffffff == _readOne(piece, witness, 2, place);
    }

    /// @dev numbers: rows, columns, depth | row, column. Operands: left and right lines, sums, output.
    function _linearLast(Piece calldata piece, Opening[] calldata witness) private pure returns (bool) {
        uint256[] memory n = _numbers(piece, 5);
        if (n[3] >= n[0] || n[4] >= n[1]) revert PieceRefused();
        uint256 words = _lineWords(n[2]);
        uint256 blocks = (n[2] + BLOCK - 1) / BLOCK;
        uint256 place = n[3] * n[1] + n[4];
        int256 sum = int32(uint32(_readOne(piece, witness, 2, place * blocks + blocks - 1)));
        uint256 mostLeft = _readOne(piece, witness, 0, n[3] * words + 1);
        uint256 mostRight = _readOne(piece, witness, 1, n[4] * words + 1);
        return _same(RefereeRows.product(sum, mostLeft, mostRight), _readOne(piece, witness, 3, place));
    }

    /// @dev Rule R1 of squares (x), or of g * h (dOut, x, gain, rstd), running over blocks of 1,024 terms. numbers: width |
    /// row, block * 16 + lane. Last operand: lanes.
    function _rmsLane(Piece calldata piece, Opening[] calldata witness) private pure returns (bool) {
        uint256[] memory n = _numbers(piece, 3);
        bool squares = piece.part == RMS_LANE;
        uint256 ledger = squares ? 1 : 4;
        (uint256 first, uint256 count) = _laneTerms(n[0], n[2]);
        uint256 place = n[1] * _laneWords(n[0]) + n[2];
        uint256 lane = n[2] < 16 ? 0 : _readOne(piece, witness, ledger, place - 16);
        if (count != 0) {
            uint256 from = n[1] * n[0] + first;
            uint256[] memory x = _read(piece, witness, squares ? 0 : 1, from, count, 16);
            if (!x.allFinite()) return false;
            uint256[] memory g = x;
            if (!squares) {
                g = _read(piece, witness, 0, from, count, 16);
                uint256[] memory gain = _read(piece, witness, 2, first, count, 16);
                uint256 rstd = _readOne(piece, witness, 3, n[1]);
                if (!g.allFinite() || !gain.allFinite() || !rstd.finite()) return false;
                for (uint256 i; i < count; ++i) {
                    g[i] = g[i].mul(gain[i]);
                    x[i] = x[i].mul(rstd);
                }
            }
            lane = RefereeRows.dot(lane, g, x);
        }
        return lane == _readOne(piece, witness, ledger, place);
    }

    /// @dev numbers: width, eps | row. Operands: lanes, rstd.
    function _rmsScale(Piece calldata piece, Opening[] calldata witness) private pure returns (bool) {
        uint256[] memory n = _numbers(piece, 3);
        uint256 mean = _folded(piece, witness, 0, n[0], n[2]).div(SoftFloat.fromInt(int256(n[0])));
        return _same(SoftFloat.ONE.div(mean.add(n[1]).sqrt()), _readOne(piece, witness, 1, n[2]));
    }

    /// @dev Rule N1. numbers: width | row, column. Operands: x, gain, rstd, out.
    function _rmsNorm(Piece calldata piece, Opening[] calldata witness) private pure returns (bool) {
        uint256[] memory n = _numbers(piece, 3);
        if (n[2] >= n[0]) revert PieceRefused();
        uint256 x = _readOne(piece, witness, 0, n[1] * n[0] + n[2]);
        uint256 gain = _readOne(piece, witness, 1, n[2]);
        uint256 rstd = _readOne(piece, witness, 2, n[1]);
        if (!x.finite() || !gain.finite()) return false;
        return _same(x.mul(rstd).mul(gain), _readOne(piece, witness, 3, n[1] * n[0] + n[2]));
    }

    /// @dev Rule N2. numbers: width | row, column. Operands: dOut, x, gain, rstd, lanes, dx.
    function _rmsGradX(Piece calldata piece, Opening[] calldata witness) private pure returns (bool) {
        uint256[] memory n = _numbers(piece, 3);
        if (n[2] >= n[0]) revert PieceRefused();
        uint256 place = n[1] * n[0] + n[2];
        uint256 g = _readOne(piece, witness, 0, place);
        uint256 h = _readOne(piece, witness, 1, place);
        uint256 gain = _readOne(piece, witness, 2, n[2]);
        uint256 rstd = _readOne(piece, witness, 3, n[1]);
        if (!g.finite() || !h.finite() || !gain.finite() || !rstd.finite()) return false;
        uint256 c = _folded(piece, witness, 4, n[0], n[1]).div(SoftFloat.fromInt(int256(n[0])));
        uint256 value = g.mul(gain).sub(h.mul(rstd).mul(c)).mul(rstd);
        return _same(value, _readOne(piece, witness, 5, place));
    }

    /// @dev Rule N3: a column's sum within its chunk of rows, up to one row. numbers: width | row, column.
    /// Operands: dOut, x, rstd, runs.
    function _gainRun(Piece calldata piece, Opening[] calldata witness) private pure returns (bool) {
        uint256[] memory n = _numbers(piece, 3);
        if (n[2] >= n[0]) revert PieceRefused();
        uint256 place = n[1] * n[0] + n[2];
        uint256 g = _readOne(piece, witness, 0, place);
        uint256 x = _readOne(piece, witness, 1, place);
        uint256 rstd = _readOne(piece, witness, 2, n[1]);
        if (!g.finite() || !x.finite() || !rstd.finite()) return false;
        uint256 before = n[1] % ROWS == 0 ? 0 : _readOne(piece, witness, 3, place - n[0]);
        return before.add(g.mul(x.mul(rstd))) == _readOne(piece, witness, 3, place);
    }

    /// @dev numbers: width, rows | chunk, column. Operands: runs, totals.
    function _gainTotal(Piece calldata piece, Opening[] calldata witness) private pure returns (bool) {
        uint256[] memory n = _numbers(piece, 4);
        if (n[3] >= n[0] || n[2] * ROWS >= n[1]) revert PieceRefused();
        uint256 end = (n[2] + 1) * ROWS;
        uint256 run = _readOne(piece, witness, 0, ((end < n[1] ? end : n[1]) - 1) * n[0] + n[3]);
        uint256 place = n[2] * n[0] + n[3];
        uint256 before = n[2] == 0 ? 0 : _readOne(piece, witness, 1, place - n[0]);
        return before.add(run) == _readOne(piece, witness, 1, place);
    }

    /// @dev numbers: width, rows | column. Operands: totals, dGain.
    function _rmsGradGain(Piece calldata piece, Opening[] calldata witness) private pure returns (bool) {
        uint256[] memory n = _numbers(piece, 3);
        if (n[2] >= n[0]) revert PieceRefused();
        uint256 total = _readOne(piece, witness, 0, ((n[1] + ROWS - 1) / ROWS - 1) * n[0] + n[2]);
        return _same(total, _readOne(piece, witness, 1, n[2]));
    }

    /// @dev Rules O1, R2, R1: one lane of one chunk. numbers: the tensor's first chunk in the ledger | chunk of the tensor,
    /// lane. Operands: gradient, ledger.
    function _normLane(Piece calldata piece, Opening[] calldata witness) private pure returns (bool) {
        uint256[] memory n = _numbers(piece, 3);
        uint256 from = n[1] * CHUNK;
        uint256 size = piece.operands[0].length;
        if (n[2] > 15 || from >= size) revert PieceRefused();
        size = size - from > CHUNK ? CHUNK : size - from;
        uint256 lane;
        if (n[2] < size) {
            uint256[] memory g = _read(piece, witness, 0, from + n[2], (size - n[2] + 15) >> 4, 16);
            if (!g.allFinite()) return false;
            lane = RefereeRows.dot(0, g, g);
        }
        return lane == _readOne(piece, witness, 1, LEDGER * (n[0] + n[1]) + n[2]);
    }

    /// @dev numbers: | chunk in the ledger. Operand: ledger.
    function _normFold(Piece calldata piece, Opening[] calldata witness) private pure returns (bool) {
        uint256[] memory row = _read(piece, witness, 0, LEDGER * _numbers(piece, 1)[0], LEDGER, 1);
        uint256 claimed = row[16];
        return row.fold() == claimed;
    }

    /// @dev numbers: | chunk in the ledger. Operand: ledger.
    function _normTotal(Piece calldata piece, Opening[] calldata witness) private pure returns (bool) {
        uint256 first = LEDGER * _numbers(piece, 1)[0];
        uint256 before = first == 0 ? 0 : _readOne(piece, witness, 0, first - 1);
        uint256[] memory row = _read(piece, witness, 0, first + 16, 2, 1);
        return before.add(row[0]) == row[1];
    }

    /// @dev No numbers. Operands: ledger, norm.
    function _normRoot(Piece calldata piece, Opening[] calldata witness) private pure returns (bool) {
        _numbers(piece, 0);
        uint256 total = _readOne(piece, witness, 0, uint256(piece.operands[0].length) - 1);
        return _same(total.sqrt(), _readOne(piece, witness, 1, 0));
    }
}
