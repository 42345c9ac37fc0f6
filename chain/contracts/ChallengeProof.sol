// SPDX-License-Identifier: MIT
// Owns what a proof is made of: records of the program tree, operands bound to roots, numbers bound to the step, trees opened
// by their owner. Who moves when, and what follows, is Challenges.sol; the arithmetic is the referee's.
pragma solidity 0.8.37;

import {DataOrder} from "./DataOrder.sol";
import {MerkleTree} from "./MerkleTree.sol";
import {Opening, Operand, Piece} from "./RefereeWitness.sol";

interface IReferee {
    function judge(Piece calldata piece, Opening[] calldata witness) external view returns (bool);
}

// The first referee contract, the one that is asked.
IReferee constant REFEREE = IReferee(address(uint160(0x00504f4c0000000000000000000000000000000008)));

/// @title Records, operands and numbers of a step
/// @dev Rules G, P and N of docs/protocol/challenges.md.
abstract contract ChallengeProof {
    /// @dev Set in genesis; all of it follows from the training program, the schedule and the data set.
    struct Parameters {
        uint64 bondGwei;
        uint32 answerBlocks;
        uint32 proveBlocks;
        uint32 windowBlocks;
        uint32 steps;
        uint32 batch;
        uint32 sequenceLength;
        /// @dev Optimizer updates of a step, each on as many of its sequences.
        uint32 updates;
        /// @dev Training sequences; learning rates and bias corrections before they stay as they are.
        uint32 sequences;
        uint32 rates;
        uint32 biases;
        /// @dev Moments go on from a trainer's accepted round to its next.
        bool carryMoments;
        uint64 parameterBytes;
        /// @dev Constants of AdamW as f32 bits.
        uint32 beta1;
        uint32 beta2;
        uint32 eps;
        uint32 decay;
        uint32 clip;
        bytes32 programRoot;
        bytes32 trainingRoot;
        bytes32 rateRoot;
        bytes32 biasRoot;
        /// @dev Root of parameterBytes zeros: the moments of a round that carries none.
        bytes32 zeroRoot;
    }

    struct Challenge {
        address challenger;
        uint32 step;
        uint8 state;
        uint8 capacity;
        uint8 asks;
        address trainer;
        uint64 round;
        uint64 deadline;
        /// @dev Position in the data order of the step's first row.
        uint64 position;
        /// @dev The step's number since genesis (rule H-1).
        uint64 number;
        /// @dev The two seed words of stochastic rounding (rule H-4).
        uint64 seed;
        /// @dev Steps that the moments had seen before the round (rule H-3).
        uint64 seen;
        bytes32 traceRoot;
        bytes32 baseRoot;
        /// @dev Root of the final state that the round's moments are from; zero when they are zero (rule V-2).
        bytes32 carriedRoot;
        bytes32 answerHash;
        bytes32 questionHash;
        /// @dev Authorities of this version that judged this very step true in a dispute: bit i is index i.
        uint64 setVersion;
        uint128 deniers;
    }

    /// @notice A leaf of the trace without its step (rule L-3).
    struct Leaf {
        bytes32 stateRoot;
        bytes32 dataRoot;
        bytes32 gradRoot;
        uint32 lossBits;
    }

    /// @notice The program of one capacity: a leaf of the program root, with its siblings.
    struct Program {
        bytes32 records;
        uint32 recordCount;
        uint32 entries;
        bytes32[] siblings;
    }

    /// @notice What the trainer's answer fixed; the contract keeps its hash.
    struct Answer {
        bytes32 stateBefore;
        bytes32 stateAfter;
        bytes32 gradRoot;
        uint32 lossBits;
        bytes32 list;
        bytes32 records;
        uint32 recordCount;
        uint32 entries;
    }

    /// @notice A root of the dispute list with its siblings.
    struct Entry {
        bytes32 root;
        bytes32[] siblings;
    }

    struct RecordProof {
        bytes record;
        uint32 index;
        bytes32[] siblings;
    }

    /// @notice Words of the schedule: the learning rate of an update's number and its two bias corrections.
    struct Schedule {
        uint32 rate;
        bytes32[] rateSiblings;
        uint32[2] bias;
        bytes32[] biasSiblings;
    }

    /// @notice One token or target with the sequence that the data order puts there.
    struct InputProof {
        bool targets;
        uint32 element;
        Entry entry;
        bytes leaf;
        bytes32[] siblings;
        bytes sequence;
        bytes32[] sequenceSiblings;
    }

    /// @notice A node of a tree: leaves have level 0.
    struct Node {
        bytes32 root;
        uint32 leaves;
        uint8 level;
        uint32 index;
        /// @dev Bytes of the leaf, when the node is one.
        uint32 leafBytes;
    }

    uint256 internal constant STATE_LEAF = 16_384;
    uint256 private constant LEAST_LEAF = 512;
    uint256 private constant MOST_LEAF = 4_096;
    /// @dev Levels that one reveal discloses: at most 128 hashes.
    uint256 internal constant REVEAL_LEVELS = 7;
    uint256 internal constant CAPACITIES = 64;

    uint256 private constant HEAD = 4;
    uint256 private constant SOURCE = 45;

    Parameters internal rules;

    error RecordRefused();
    error ScheduleRefused();
    error NodeRefused();
    error InputRefused();

    /// @dev A record is one way to judge one instruction: part u16, operands u8, fixed numbers u8, then each operand
    /// (kind u8, place u32, length u32, leaf bytes u32, root 32) and each fixed number u32.
    function _checkRecord(Answer memory a, RecordProof calldata proof) internal view {
        bytes calldata record = proof.record;
        if (record.length < HEAD) revert RecordRefused();
        if (record.length != HEAD + SOURCE * uint8(record[2]) + 4 * uint8(record[3])) revert RecordRefused();
        bytes32 hash = MerkleTree.leafHash(record);
        if (MerkleTree.climb(hash, proof.index, a.recordCount, proof.siblings) != a.records) revert RecordRefused();
    }

    function _source(bytes calldata record, uint256 index) internal pure returns (bytes calldata) {
        if (index >= uint8(record[2])) revert RecordRefused();
        return record[HEAD + SOURCE * index:HEAD + SOURCE * (index + 1)];
    }

    /// @dev True when an operand is an entry of the dispute list: it takes the next of the entries opened.
    function _isListed(bytes calldata source) internal pure returns (bool) {
        return source[0] == 0;
    }

    /// @dev A tensor bound to its root: what the trainer made, what the step is given, or a constant.
    function _operand(
        Challenge storage c,
        Answer memory a,
        bytes calldata source,
        Entry[] calldata entries,
        uint256 used,
        Schedule calldata schedule
    ) internal view returns (Operand memory operand) {
        uint256 kind = uint8(source[0]);
        if (kind < 4) return _tensor(c, a, source, entries, used);
        operand = _shape(source);
        operand.leaves = _leaves(operand);
        if (kind == 4) {
            operand.root = MerkleTree.leafHash(_little(a.lossBits));
        } else if (kind == 5) {
            operand.root = bytes32(source[13:45]);
        } else if (kind == 6) {
            operand.root = MerkleTree.leafHash(bytes.concat(_little(uint32(c.seed >> 32)), _little(uint32(c.seed))));
        } else if (kind == 7) {
            operand.root = MerkleTree.leafHash(_hyper(c, schedule, uint32(bytes4(source[1:5]))));
        } else {
            revert RecordRefused();
        }
    }

    /// @dev An entry of the list (0), or a tensor in a tree of parameter layout: state before (1) and after (2) the step,
    /// gradients (3).
    function _tensor(
        Challenge storage c,
        Answer memory a,
        bytes calldata source,
        Entry[] calldata entries,
        uint256 used
    ) internal view returns (Operand memory operand) {
        uint256 kind = uint8(source[0]);
        uint32 place = uint32(bytes4(source[1:5]));
        operand = _shape(source);
        if (kind == 0) {
            if (used >= entries.length) revert RecordRefused();
            operand.root = _entry(a, place, entries[used]);
            operand.leaves = _leaves(operand);
        } else {
            uint256 size = _tree(c, a, kind, place, operand);
            operand.leaves = uint32((size + STATE_LEAF - 1) / STATE_LEAF);
        }
    }

    function _shape(bytes calldata source) private pure returns (Operand memory operand) {
        operand.length = uint32(bytes4(source[5:9]));
        operand.leafBytes = uint32(bytes4(source[9:13]));
    }

    function _leaves(Operand memory operand) private pure returns (uint32) {
        return uint32((4 * uint256(operand.length) + operand.leafBytes - 1) / operand.leafBytes);
    }

    /// @dev At the start of a round the parameters are the base's. Moments are zero, or stand where they stood in the final
    /// state before, whose parameters nobody reads.
    function _tree(Challenge storage c, Answer memory a, uint256 kind, uint32 place, Operand memory operand)
        private
        view
        returns (uint256 size)
    {
        size = rules.parameterBytes;
        operand.offset = place;
        if (kind == 3) {
            operand.root = a.gradRoot;
        } else if (kind == 2) {
            (operand.root, size) = (a.stateAfter, 3 * size);
        } else if (c.step != 0) {
            (operand.root, size) = (a.stateBefore, 3 * size);
        } else if (place < size) {
            operand.root = a.stateBefore;
        } else if (c.carriedRoot != 0) {
            (operand.root, size) = (c.carriedRoot, 3 * size);
        } else {
            operand.root = rules.zeroRoot;
            operand.offset = uint32(place % size);
        }
    }

    function _entry(Answer memory a, uint256 index, Entry calldata entry) private view returns (bytes32) {
        if (MerkleTree.climb(entry.root, index, a.entries, entry.siblings) != a.list) revert RecordRefused();
        return entry.root;
    }

    /// @dev The piece a checked record describes, with the numbers that the prover selects.
    function _piece(
        Challenge storage c,
        Answer memory a,
        bytes calldata record,
        uint32[] calldata selected,
        Entry[] calldata entries,
        Schedule calldata schedule
    ) internal view returns (Piece memory piece) {
        piece.part = uint16(bytes2(record[0:2]));
        piece.operands = new Operand[](uint8(record[2]));
        uint256 used;
        for (uint256 i; i < piece.operands.length; ++i) {
            bytes calldata source = _source(record, i);
            piece.operands[i] = _operand(c, a, source, entries, used, schedule);
            if (_isListed(source)) ++used;
        }
        if (used != entries.length) revert RecordRefused();
        piece.numbers = _numbers(record, selected);
    }

    /// @dev Fixed numbers come from the record alone, so that nobody chooses what a piece computes.
    function _numbers(bytes calldata record, uint32[] calldata selected) private pure returns (uint32[] memory numbers) {
        uint256 fixedCount = uint8(record[3]);
        numbers = new uint32[](fixedCount + selected.length);
        uint256 place = HEAD + SOURCE * uint8(record[2]);
        for (uint256 i; i < fixedCount; (++i, place += 4)) numbers[i] = uint32(bytes4(record[place:place + 4]));
        for (uint256 i; i < selected.length; ++i) numbers[fixedCount + i] = selected[i];
    }

    /// @dev The eight words an AdamW instruction of one update reads, as bytes of a tensor.
    function _hyper(Challenge storage c, Schedule calldata schedule, uint256 update)
        private
        view
        returns (bytes memory)
    {
        _checkRate(c, schedule, update);
        _checkBias(c, schedule, update);
        return bytes.concat(
            bytes.concat(_little(schedule.rate), _little(rules.beta1), _little(rules.beta2), _little(rules.eps)),
            bytes.concat(_little(rules.decay), _little(schedule.bias[0]), _little(schedule.bias[1]), _little(rules.clip))
        );
    }

    /// @dev Learning rate by rule H-2; updates beyond the table have its last word.
    function _checkRate(Challenge storage c, Schedule calldata schedule, uint256 update) private view {
        uint256 last = rules.rates - 1;
        uint256 index = uint256(c.number) * rules.updates + update;
        if (index > last) index = last;
        bytes32 leaf = MerkleTree.leafHash(abi.encodePacked(schedule.rate));
        if (MerkleTree.climb(leaf, index, last + 1, schedule.rateSiblings) != rules.rateRoot) revert ScheduleRefused();
    }

    /// @dev Bias corrections by rule H-3; updates beyond the table have its last words.
    function _checkBias(Challenge storage c, Schedule calldata schedule, uint256 update) private view {
        uint256 last = rules.biases - 1;
        uint256 index = (uint256(c.seen) + c.step) * rules.updates + update;
        if (index > last) index = last;
        bytes32 leaf = MerkleTree.leafHash(abi.encodePacked(uint64(schedule.bias[0]) << 32 | schedule.bias[1]));
        if (MerkleTree.climb(leaf, index, last + 1, schedule.biasSiblings) != rules.biasRoot) revert ScheduleRefused();
    }

    /// @dev True when the word `element` of the step's tokens or targets is the data order's: update u has list entry 2u for its
    /// tokens and 2u + 1 for its targets.
    function _inputHolds(Challenge storage c, Answer memory a, InputProof calldata proof) internal view returns (bool) {
        uint256 width = rules.sequenceLength;
        if (proof.element >= uint256(c.capacity) * rules.batch * width) revert InputRefused();
        _checkWord(c, a, proof);
        uint256 index = DataOrder.sequenceAt(rules.trainingRoot, rules.sequences, c.position + proof.element / width);
        bytes32 leaf = MerkleTree.leafHash(proof.sequence);
        if (
            proof.sequence.length != 2 * (width + 1)
                || MerkleTree.climb(leaf, index, rules.sequences, proof.sequenceSiblings) != rules.trainingRoot
        ) revert InputRefused();
        uint256 id = 2 * ((proof.element % width) + (proof.targets ? 1 : 0));
        uint256 size = _inputSize(c);
        uint256 place = ((4 * uint256(proof.element)) % size) % _inputLeaf(size);
        return bytes4(proof.leaf[place:place + 4]) == bytes4(bytes2(proof.sequence[id:id + 2]));
    }

    /// @dev Leaf size of a tensor of one dimension.
    function _inputLeaf(uint256 size) private pure returns (uint256) {
        return size < LEAST_LEAF ? LEAST_LEAF : size > MOST_LEAF ? MOST_LEAF : size;
    }

    /// @dev Bytes of the tokens, or targets, of one update.
    function _inputSize(Challenge storage c) private view returns (uint256) {
        return 4 * uint256(c.capacity) * rules.batch * rules.sequenceLength / rules.updates;
    }

    /// @dev The leaf shown is the one of the input tensor that holds the element.
    function _checkWord(Challenge storage c, Answer memory a, InputProof calldata proof) private view {
        uint256 size = _inputSize(c);
        uint256 place = 4 * uint256(proof.element);
        bytes32 root = _entry(a, 2 * (place / size) + (proof.targets ? 1 : 0), proof.entry);
        place %= size;
        if ((place % _inputLeaf(size)) + 4 > proof.leaf.length) revert InputRefused();
        bytes32 hash = MerkleTree.leafHash(proof.leaf);
        uint256 width = _inputLeaf(size);
        if (MerkleTree.climb(hash, place / width, (size + width - 1) / width, proof.siblings) != root) {
            revert InputRefused();
        }
    }

    /// @dev True when what is disclosed has the node's hash: its nodes seven levels down, or the bytes of a leaf.
    function _discloses(Node calldata node, bytes32[] calldata nodes, bytes calldata leaf, bytes32[] calldata siblings)
        internal
        view
        returns (bool)
    {
        bytes32 hash;
        if (node.level == 0) {
            if (nodes.length != 0 || leaf.length != node.leafBytes) revert NodeRefused();
            hash = MerkleTree.leafHash(leaf);
        } else {
            uint256 depth = node.level < REVEAL_LEVELS ? node.level : REVEAL_LEVELS;
            uint256 width = _width(node.leaves, node.level - depth) - (uint256(node.index) << depth);
            if (nodes.length != (width < 1 << depth ? width : 1 << depth) || leaf.length != 0) revert NodeRefused();
            hash = MerkleTree.fold(nodes);
        }
        return MerkleTree.climb(hash, node.index, _width(node.leaves, node.level), siblings) == node.root;
    }

    /// @dev The node of an operand's tree; a leaf is as long as the tensor's tree has it, the last one shorter.
    function _node(Operand memory tree, uint256 kind, uint8 level, uint32 index) internal view returns (Node memory) {
        uint256 size = 4 * uint256(tree.length);
        if (kind == 2) size = 3 * uint256(rules.parameterBytes);
        if (kind == 3) size = rules.parameterBytes;
        uint256 start = uint256(index) * tree.leafBytes;
        uint256 rest = level == 0 && start < size ? size - start : 0;
        uint256 leaf = rest < tree.leafBytes ? rest : tree.leafBytes;
        return Node(tree.root, tree.leaves, level, index, uint32(leaf));
    }

    /// @dev Nodes of a level of a tree.
    function _width(uint256 leaves, uint256 level) internal pure returns (uint256) {
        return (leaves + (1 << level) - 1) >> level;
    }

    function _checkProgram(Program calldata program, uint256 capacity) internal view {
        bytes32 leaf = MerkleTree.leafHash(abi.encodePacked(program.records, program.recordCount, program.entries));
        if (MerkleTree.climb(leaf, capacity - 1, CAPACITIES, program.siblings) != rules.programRoot) {
            revert RecordRefused();
        }
    }

    /// @dev Rule L-3, opened against the trace root.
    function _opensLeaf(Challenge storage c, Leaf calldata leaf, uint256 step, bytes32[] calldata siblings)
        internal
        view
        returns (bool)
    {
        return _leafRoot(leaf, step, siblings) == c.traceRoot;
    }

    function _leafRoot(Leaf calldata leaf, uint256 step, bytes32[] calldata siblings) internal view returns (bytes32) {
        bytes32 hash = sha256(
            abi.encodePacked(
                sha256("pol-node/step-leaf"), uint32(step), leaf.stateRoot, leaf.dataRoot, leaf.gradRoot, leaf.lossBits
            )
        );
        return MerkleTree.climb(hash, step, rules.steps, siblings);
    }

    /// @dev The four bytes of a 32-bit word as tensors hold it.
    function _little(uint32 word) private pure returns (bytes memory) {
        return abi.encodePacked(uint8(word), uint8(word >> 8), uint8(word >> 16), uint8(word >> 24));
    }
}
