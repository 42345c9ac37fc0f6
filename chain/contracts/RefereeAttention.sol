// SPDX-License-Identifier: MIT
// Owns the verdict on pieces of attention, its gradient and the cross-entropy loss. Rules 2.x of docs/protocol/referee.md
// name each part's operands and numbers; S is the sequence, H heads, G key heads, W the head width.
pragma solidity 0.8.37;

import {SoftFloat} from "./SoftFloat.sol";
import {RefereeRows} from "./RefereeRows.sol";
import {Opening, Piece, RefereeWitness} from "./RefereeWitness.sol";

/// @title Referee of attention and loss
contract RefereeAttention is RefereeWitness {
    using SoftFloat for uint256;
    using RefereeRows for uint256;
    using RefereeRows for uint256[];

    uint256 private constant ATTENTION = 10;
    uint256 private constant ATTENTION_GRAD = 11;
    uint256 private constant CROSS_ENTROPY = 14;
    uint256 private constant CROSS_ENTROPY_GRAD = 15;
    uint256 private constant TURN = 128;
    uint256 private constant SCORE = 160;
    uint256 private constant SCORE_TOP = 161;
    uint256 private constant EXPONENTIAL = 162;
    uint256 private constant EXPONENTIAL_SUM = 163;
    uint256 private constant ATTENTION_STATS = 164;
    uint256 private constant OUTPUT_DOT = 165;
    uint256 private constant PROBABILITY = 166;
    uint256 private constant SCORE_GRADIENT = 167;
    uint256 private constant KEY_RUN = 168;
    uint256 private constant KEY_GRADIENT = 169;
    uint256 private constant MAXIMUM = 170;
    uint256 private constant ENTROPY_LANE = 171;
    uint256 private constant ENTROPY_STATS = 172;
    uint256 private constant TOKEN_LOSS = 173;
    uint256 private constant COUNT = 174;
    uint256 private constant LOSS_TOTAL = 175;
    uint256 private constant CHUNK = 4096;

    /// @notice See Referee.judge.
    function judge(Piece calldata piece, Opening[] calldata witness) external pure returns (bool) {
        _checkOpenings(piece, witness);
        uint256 part = piece.part;
        if (part == SCORE) return _score(piece, witness);
        if (part == SCORE_TOP) return _scoreTop(piece, witness);
        if (part == EXPONENTIAL) return _exponential(piece, witness);
        if (part == EXPONENTIAL_SUM) return _exponentialSum(piece, witness);
        if (part == TURN) return _turn(piece, witness);
        if (part == ATTENTION_STATS) return _attentionStats(piece, witness);
        if (part == ATTENTION) return _attention(piece, witness);
        if (part == OUTPUT_DOT) return _outputDot(piece, witness);
        if (part == PROBABILITY) return _probability(piece, witness);
        if (part == SCORE_GRADIENT) return _scoreGradient(piece, witness);
        if (part == ATTENTION_GRAD) return _queryGradient(piece, witness);
        if (part == KEY_RUN) return _keyRun(piece, witness);
        if (part == KEY_GRADIENT) return _keyGradient(piece, witness);
        if (part == MAXIMUM) return _maximum(piece, witness);
        if (part == ENTROPY_LANE) return _entropyLane(piece, witness);
        if (part == ENTROPY_STATS) return _entropyStats(piece, witness);
        if (part == TOKEN_LOSS) return _tokenLoss(piece, witness);
        if (part == COUNT) return _count(piece, witness);
        if (part == LOSS_TOTAL) return _lossTotal(piece, witness);
        if (part == CROSS_ENTROPY) return _crossEntropy(piece, witness);
        if (part == CROSS_ENTROPY_GRAD) return _crossEntropyGrad(piece, witness);
        revert PieceRefused();
    }

    /// @dev One place of a table over (row, head, key).
    struct Cell {
        uint256 row;
        uint256 head;
        uint256 key;
        /// Place of the row's query in its sequence: it sees keys 0 to here.
        uint256 query;
    }

    /// @dev The last three numbers, which name a cell; S and H are the first two.
    function _cell(uint256[] memory n) private pure returns (Cell memory cell) {
        uint256 last = n.length - 1;
        cell = Cell(n[last - 2], n[last - 1], n[last], n[last - 2] % n[0]);
        if (cell.head >= n[1] || cell.key >= n[0]) revert PieceRefused();
    }

    /// @dev Rule A2's product, rounded operands: operand `left` of the cell's head, operand `right` of its key. n: S H G W.
    function _headProduct(Piece calldata piece, Opening[] calldata witness, Cell memory cell, uint256[] memory n, uint256 right)
        private
        pure
        returns (bool ok, uint256 sum)
    {
        uint256 group = cell.head / (n[1] / n[2]);
        uint256 keyRow = cell.row - cell.query + cell.key;
        uint256[] memory a = _read(piece, witness, 0, (cell.row * n[1] + cell.head) * n[3], n[3], 1);
        uint256[] memory b = _read(piece, witness, right, (keyRow * n[2] + group) * n[3], n[3], 1);
        if (!a.roundAll() || !b.roundAll()) return (false, 0);
        return (true, RefereeRows.dot(0, a, b));
    }

    /// @dev Rule A2's factor.
    function _factor(uint256 width) private pure returns (uint256) {
        return SoftFloat.ONE.div(SoftFloat.fromInt(int256(width)).sqrt());
    }

    /// @dev Rule A2. numbers: S, H, G, W | row, head, key. Operands: q, k, scores. A row of scores has S + 1 numbers: the
    /// scores, zero behind the query's own place, and their maximum.
    function _score(Piece calldata piece, Opening[] calldata witness) private pure returns (bool) {
        uint256[] memory n = _numbers(piece, 7);
        Cell memory cell = _cell(n);
        uint256 claimed = _readOne(piece, witness, 2, (cell.row * n[1] + cell.head) * (n[0] + 1) + cell.key);
        if (cell.key > cell.query) return claimed == 0;
        (bool ok, uint256 sum) = _headProduct(piece, witness, cell, n, 1);
        return ok && sum.mul(_factor(n[3])) == claimed;
    }

    /// @dev Rule R4. numbers: S, H | row, head. Operand: scores.
    function _scoreTop(Piece calldata piece, Opening[] calldata witness) private pure returns (bool) {
        unchecked {
            uint256[] memory n = _numbers(piece, 4);
            if (n[3] >= n[1]) revert PieceRefused();
            uint256 first = (n[2] * n[1] + n[3]) * (n[0] + 1);
            uint256[] memory scores = _read(piece, witness, 0, first, n[2] % n[0] + 1, 1);
            uint256 top = scores[0];
            for (uint256 i = 1; i < scores.length; ++i) if (SoftFloat.compare(scores[i], top) > 0) top = scores[i];
            return _unsignedZero(top) == _readOne(piece, witness, 0, first + n[0]);
        }
    }

    function _unsignedZero(uint256 value) private pure returns (uint256) {
        return value & 0x7fffffff == 0 ? 0 : value;
    }

    /// @dev Rule A3. numbers: S, H | row, head, key. Operands: scores, exponentials, whose rows end in rl.
    function _exponential(Piece calldata piece, Opening[] calldata witness) private pure returns (bool) {
        uint256[] memory n = _numbers(piece, 5);
        Cell memory cell = _cell(n);
        uint256 first = (cell.row * n[1] + cell.head) * (n[0] + 1);
        uint256 claimed = _readOne(piece, witness, 1, first + cell.key);
        if (cell.key > cell.query) return claimed == 0;
        uint256 score = _readOne(piece, witness, 0, first + cell.key);
        return score.sub(_readOne(piece, witness, 0, first + n[0])).exp() == claimed;
    }

    /// @dev numbers: S, H | row, head. Operand: exponentials.
    function _exponentialSum(Piece calldata piece, Opening[] calldata witness) private pure returns (bool) {
        uint256[] memory n = _numbers(piece, 4);
        if (n[3] >= n[1]) revert PieceRefused();
        uint256 first = (n[2] * n[1] + n[3]) * (n[0] + 1);
        uint256[] memory terms = _read(piece, witness, 0, first, n[2] % n[0] + 1, 1);
        return SoftFloat.ONE.div(terms.laneSum()) == _readOne(piece, witness, 0, first + n[0]);
    }

    /// @dev Columns of each sequence as lines, rounded to bf16. numbers: columns, S | line, place. Operands: tensor, lines.
    function _turn(Piece calldata piece, Opening[] calldata witness) private pure returns (bool) {
        uint256[] memory n = _numbers(piece, 4);
        if (n[3] >= n[1]) revert PieceRefused();
        uint256 x = _readOne(piece, witness, 0, ((n[2] / n[0]) * n[1] + n[3]) * n[0] + n[2] % n[0]);
        return x.inRange() && x.bf16() == _readOne(piece, witness, 1, n[2] * n[1] + n[3]);
    }

    /// @dev numbers: S, H | row, place. Operands: scores, exponentials, stats.
    function _attentionStats(Piece calldata piece, Opening[] calldata witness) private pure returns (bool) {
        uint256[] memory n = _numbers(piece, 4);
        if (n[3] >= 2 * n[1]) revert PieceRefused();
        uint256 last = (n[2] * n[1] + n[3] / 2) * (n[0] + 1) + n[0];
        return _same(_readOne(piece, witness, n[3] & 1, last), _readOne(piece, witness, 2, n[2] * 2 * n[1] + n[3]));
    }

    /// @dev Rule A3. numbers: S, H, G, W | row, column. Operands: exponentials, lines of values, out.
    function _attention(Piece calldata piece, Opening[] calldata witness) private pure returns (bool) {
        uint256[] memory n = _numbers(piece, 6);
        if (n[5] >= n[1] * n[3]) revert PieceRefused();
        uint256 head = n[5] / n[3];
        uint256 first = (n[4] * n[1] + head) * (n[0] + 1);
        uint256[] memory weights = _read(piece, witness, 0, first, n[4] % n[0] + 1, 1);
        uint256 sum = _lineSum(piece, witness, n, weights);
        uint256 value = sum.mul(_readOne(piece, witness, 0, first + n[0]));
        return _same(value, _readOne(piece, witness, 2, n[4] * n[1] * n[3] + n[5]));
    }

    /// @dev Rule A3's and A4's sum over keys of weights and the line of the column's key head. n: S H G W row column.
    function _lineSum(Piece calldata piece, Opening[] calldata witness, uint256[] memory n, uint256[] memory weights)
        private
        pure
        returns (uint256)
    {
        unchecked {
            uint256 group = n[5] / n[3] / (n[1] / n[2]);
            uint256 line = (n[4] / n[0] * n[2] + group) * n[3] + n[5] % n[3];
            uint256[] memory values = _read(piece, witness, 1, line * n[0], weights.length, 1);
            for (uint256 i; i < weights.length; ++i) weights[i] = weights[i].bf16();
            return RefereeRows.dot(0, weights, values);
        }
    }

    /// @dev Rule A4's D. numbers: H, W | row, head. Operands: dOut, out, dots.
    function _outputDot(Piece calldata piece, Opening[] calldata witness) private pure returns (bool) {
        uint256[] memory n = _numbers(piece, 4);
        if (n[3] >= n[0]) revert PieceRefused();
        uint256 place = n[2] * n[0] + n[3];
        uint256[] memory a = _read(piece, witness, 0, place * n[1], n[1], 1);
        uint256[] memory b = _read(piece, witness, 1, place * n[1], n[1], 1);
        if (!a.allFinite() || !b.allFinite()) return false;
        for (uint256 i; i < a.length; ++i) a[i] = a[i].mul(b[i]);
        return a.laneSum() == _readOne(piece, witness, 2, place);
    }

    /// @dev Rule A4's p. numbers: S, H, G, W | row, head, key. Operands: q, k, stats, probabilities.
    function _probability(Piece calldata piece, Opening[] calldata witness) private pure returns (bool) {
        uint256[] memory n = _numbers(piece, 7);
        Cell memory cell = _cell(n);
        uint256 claimed = _readOne(piece, witness, 3, (cell.row * n[1] + cell.head) * n[0] + cell.key);
        if (cell.key > cell.query) return claimed == 0;
        (bool ok, uint256 sum) = _headProduct(piece, witness, cell, n, 1);
        uint256[] memory stats = _read(piece, witness, 2, (cell.row * n[1] + cell.head) * 2, 2, 1);
        if (!ok || !stats.allFinite()) return false;
        return sum.mul(_factor(n[3])).sub(stats[0]).exp().mul(stats[1]) == claimed;
    }

    /// @dev Rule A4's g. numbers: S, H, G, W | row, head, key. Operands: dOut, v, dots, probabilities, gradients.
    function _scoreGradient(Piece calldata piece, Opening[] calldata witness) private pure returns (bool) {
        uint256[] memory n = _numbers(piece, 7);
        Cell memory cell = _cell(n);
        uint256 line = cell.row * n[1] + cell.head;
        uint256 claimed = _readOne(piece, witness, 4, line * n[0] + cell.key);
        if (cell.key > cell.query) return claimed == 0;
        (bool ok, uint256 sum) = _headProduct(piece, witness, cell, n, 1);
        uint256 p = _readOne(piece, witness, 3, line * n[0] + cell.key);
        uint256 value = p.mul(sum.sub(_readOne(piece, witness, 2, line))).mul(_factor(n[3]));
        return ok && value.inRange() && value.bf16() == claimed;
    }

    /// @dev Rule A4's dq. numbers: S, H, G, W | row, column. Operands: gradients, lines of keys, dq.
    function _queryGradient(Piece calldata piece, Opening[] calldata witness) private pure returns (bool) {
        uint256[] memory n = _numbers(piece, 6);
        if (n[5] >= n[1] * n[3]) revert PieceRefused();
        uint256 line = n[4] * n[1] + n[5] / n[3];
        uint256[] memory weights = _read(piece, witness, 0, line * n[0], n[4] % n[0] + 1, 1);
        uint256 sum = _lineSum(piece, witness, n, weights);
        return _same(sum, _readOne(piece, witness, 2, n[4] * n[1] * n[3] + n[5]));
    }

    /// @dev Rule A4's dk and dv over the query heads of a group up to one. numbers: S, H, G, W | row, column of the queries.
    /// Operands: columns of weights, lines of queries or of dOut, runs.
    function _keyRun(Piece calldata piece, Opening[] calldata witness) private pure returns (bool) {
        uint256[] memory n = _numbers(piece, 6);
        if (n[5] >= n[1] * n[3]) revert PieceRefused();
        uint256 key = n[4] % n[0];
        uint256 head = n[5] / n[3];
        uint256 place = n[4] * n[1] * n[3] + n[5];
        uint256 sum = head % (n[1] / n[2]) == 0 ? 0 : _readOne(piece, witness, 2, place - n[3]);
        uint256 line = n[4] / n[0] * n[1] + head;
        uint256[] memory weights = _read(piece, witness, 0, (line * n[0] + key) * n[0] + key, n[0] - key, 1);
        line = line * n[3] + n[5] % n[3];
        sum = RefereeRows.dot(sum, weights, _read(piece, witness, 1, line * n[0] + key, n[0] - key, 1));
        return sum == _readOne(piece, witness, 2, place);
    }

    /// @dev The run of a group's last query head. numbers: H, G, W | row, column. Operands: runs, dk or dv.
    function _keyGradient(Piece calldata piece, Opening[] calldata witness) private pure returns (bool) {
        uint256[] memory n = _numbers(piece, 5);
        if (n[4] >= n[1] * n[2]) revert PieceRefused();
        uint256 last = (n[4] / n[2] + 1) * (n[0] / n[1]) - 1;
        uint256 run = _readOne(piece, witness, 0, (n[3] * n[0] + last) * n[2] + n[4] % n[2]);
        return _same(run, _readOne(piece, witness, 1, n[3] * n[1] * n[2] + n[4]));
    }

    /// @dev Rule R4; maxima has the place of the maximum, the lowest one, and its value. numbers: V | row, counter-example.
    /// Operands: logits, maxima.
    function _maximum(Piece calldata piece, Opening[] calldata witness) private pure returns (bool) {
        uint256[] memory n = _numbers(piece, 3);
        if (n[2] >= n[0]) revert PieceRefused();
        uint256[] memory top = _read(piece, witness, 1, 2 * n[1], 2, 1);
        if (top[0] >= n[0]) return false;
        uint256 x = _readOne(piece, witness, 0, n[1] * n[0] + top[0]);
        uint256 other = _readOne(piece, witness, 0, n[1] * n[0] + n[2]);
        if (!x.finite() || !other.finite() || _unsignedZero(x) != top[1]) return false;
        int256 order = SoftFloat.compare(other, x);
        return order < 0 || (order == 0 && n[2] >= top[0]);
    }

    /// @dev Rule L1's sum. numbers: V | row, block * 16 + lane. Operands: logits, maxima, lanes.
    function _entropyLane(Piece calldata piece, Opening[] calldata witness) private pure returns (bool) {
        unchecked {
            uint256[] memory n = _numbers(piece, 3);
            (uint256 first, uint256 count) = _laneTerms(n[0], n[2]);
            uint256 place = n[1] * _laneWords(n[0]) + n[2];
            uint256 lane = n[2] < 16 ? 0 : _readOne(piece, witness, 2, place - 16);
            if (count != 0) {
                uint256[] memory x = _read(piece, witness, 0, n[1] * n[0] + first, count, 16);
                uint256 top = _readOne(piece, witness, 1, 2 * n[1] + 1);
                if (!x.allFinite()) return false;
                for (uint256 i; i < count; ++i) lane = lane.add(x[i].sub(top).exp());
            }
            return lane == _readOne(piece, witness, 2, place);
        }
    }

    /// @dev numbers: V | row, place. Operands: maxima, lanes, stats.
    function _entropyStats(Piece calldata piece, Opening[] calldata witness) private pure returns (bool) {
        uint256[] memory n = _numbers(piece, 3);
        if (n[2] > 1) revert PieceRefused();
        uint256 value = n[2] == 0
            ? _readOne(piece, witness, 0, 2 * n[1] + 1)
            : SoftFloat.ONE.div(_folded(piece, witness, 1, n[0], n[1]));
        return _same(value, _readOne(piece, witness, 2, 2 * n[1] + n[2]));
    }

    /// @dev numbers: V | row. Operands: logits, targets, maxima, lanes, token losses.
    function _tokenLoss(Piece calldata piece, Opening[] calldata witness) private pure returns (bool) {
        uint256[] memory n = _numbers(piece, 2);
        uint256 target = _readOne(piece, witness, 1, n[1]);
        uint256 value;
        if (target >> 31 == 0) {
            if (target >= n[0]) return false;
            uint256 sum = _folded(piece, witness, 3, n[0], n[1]);
            value = _readOne(piece, witness, 2, 2 * n[1] + 1).add(sum.log());
            value = value.sub(_readOne(piece, witness, 0, n[1] * n[0] + target));
        }
        return _same(value, _readOne(piece, witness, 4, n[1]));
    }

    /// @dev counts[t] is the number of targets from 0 up to row t. numbers: V | row. Operands: targets, counts.
    function _count(Piece calldata piece, Opening[] calldata witness) private pure returns (bool) {
        uint256[] memory n = _numbers(piece, 2);
        uint256 target = _readOne(piece, witness, 0, n[1]);
        if (target >> 31 == 0 && target >= n[0]) return false;
        uint256 before = n[1] == 0 ? 0 : _readOne(piece, witness, 1, n[1] - 1);
        return ((before + 1 - (target >> 31)) & 0xffffffff) == _readOne(piece, witness, 1, n[1]);
    }

    /// @dev Rule R2: totals[c] over chunks 0 to c. numbers: | chunk. Operands: token losses, totals.
    function _lossTotal(Piece calldata piece, Opening[] calldata witness) private pure returns (bool) {
        uint256 chunk = _numbers(piece, 1)[0];
        uint256 from = chunk * CHUNK;
        uint256 size = piece.operands[0].length;
        if (from >= size) revert PieceRefused();
        uint256[] memory terms = _read(piece, witness, 0, from, size - from > CHUNK ? CHUNK : size - from, 1);
        uint256 before = chunk == 0 ? 0 : _readOne(piece, witness, 1, chunk - 1);
        return before.add(terms.laneSum()) == _readOne(piece, witness, 1, chunk);
    }

    /// @dev Number of targets that count, from the end of the ledger.
    function _counted(Piece calldata piece, Opening[] calldata witness, uint256 k) private pure returns (uint256) {
        return _readOne(piece, witness, k, uint256(piece.operands[k].length) - 1);
    }

    /// @dev Rule L1. No numbers. Operands: totals, counts, loss.
    function _crossEntropy(Piece calldata piece, Opening[] calldata witness) private pure returns (bool) {
        _numbers(piece, 0);
        uint256 count = _counted(piece, witness, 1);
        uint256 value = count == 0 ? 0 : _counted(piece, witness, 0).div(SoftFloat.fromInt(int256(count)));
        return _same(value, _readOne(piece, witness, 2, 0));
    }

    /// @dev Rule L2. numbers: V | row, column. Operands: logits, targets, stats, counts, dLogits.
    function _crossEntropyGrad(Piece calldata piece, Opening[] calldata witness) private pure returns (bool) {
        uint256[] memory n = _numbers(piece, 3);
        if (n[2] >= n[0]) revert PieceRefused();
        uint256 target = _readOne(piece, witness, 1, n[1]);
        uint256 x = _readOne(piece, witness, 0, n[1] * n[0] + n[2]);
        uint256[] memory stats = _read(piece, witness, 2, 2 * n[1], 2, 1);
        if (!x.finite() || !stats.allFinite()) return false;
        uint256 value;
        if (target >> 31 == 0) {
            if (target >= n[0]) return false;
            uint256 count = _counted(piece, witness, 3);
            uint256 weight = count == 0 ? 0 : SoftFloat.ONE.div(SoftFloat.fromInt(int256(count)));
            value = x.sub(stats[0]).exp().mul(stats[1]);
            if (target == n[2]) value = value.sub(SoftFloat.ONE);
            value = value.mul(weight);
        }
        return _same(value, _readOne(piece, witness, 4, n[1] * n[0] + n[2]));
    }
}
