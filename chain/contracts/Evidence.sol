// SPDX-License-Identifier: MIT
// Owns the proof of double signing: two statements of one authority for one height, round and kind that name different blocks.
// Bonds takes the fine, Authorities removes the member.
pragma solidity 0.8.37;

// What it needs of its neighbours. Only the first word of setOf's answer is read.
interface IAuthoritySets {
    function latestVersion() external view returns (uint64);
    function seat(uint64 version, address account) external view returns (uint256 indexPlusOne);
    function setOf(uint64 version) external view returns (uint64 activeFrom);
    function expel(address account) external returns (bool removed);
}

interface IBondLedger {
    function slash(address authority, uint16 bps, address beneficiary) external;
}

/// @title Evidence: who signs two blocks for one place loses a part of the bond and the seat
/// @notice Anyone may prove it; the signatures are enough. Each place (signer, height, round, kind) counts once.
contract Evidence {
    /// @dev `validRoundPlusOne` is 0 in votes, `blockHash` zero is a vote for no block.
    struct Statement {
        bytes32 blockHash;
        uint32 validRoundPlusOne;
        bytes32 r;
        bytes32 s;
        uint8 recovery;
    }

    address private constant SYSTEM = 0xffffFFFfFFffffffffffffffFfFFFfffFFFfFFfE;
    IAuthoritySets private constant AUTHORITIES = IAuthoritySets(address(uint160(0x00504f4c0000000000000000000000000000000001)));
    IBondLedger private constant BONDS = IBondLedger(address(uint160(0x00504f4c0000000000000000000000000000000005)));

    bytes32 private constant TAG = keccak256("pol-node/consensus/v1");
    uint8 private constant PROPOSAL = 1;
    uint8 private constant PRECOMMIT = 3;
    uint32 private constant MAX_ROUND = 1_000;
    /// @dev Timestamps are whole seconds and strictly increase, so this is 48 hours at least.
    uint64 private constant MAX_AGE_BLOCKS = 172_800;
    uint16 private constant FINE_BPS = 500;
    /// @dev Half the order of secp256k1 (EIP-2): the twin of a signature is no second statement.
    uint256 private constant HALF_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0;

    /// @notice Hash of block 0: what was signed for another network proves nothing here.
    bytes32 public genesisHash;
    mapping(bytes32 place => bool) private proven;

    /// @param expelled False when the signer had left already, or the set is at its least.
    event Proven(address indexed signer, address indexed submitter, uint8 kind, uint64 height, uint32 round, bool expelled);

    error NotAllowed(address caller);
    error NotAStatement(uint8 kind, uint32 round, uint32 validRoundPlusOne);
    error NoContradiction(bytes32 blockHash);
    error HeightRefused(uint64 height, uint64 oldest, uint64 newest);
    error SignatureRefused(uint256 statement);
    error SignersDiffer(address first, address second);
    error NotAuthority(address signer, uint64 version);
    error VersionRefused(uint64 version);
    error AlreadyProven(address signer, uint64 height, uint32 round, uint8 kind);

    /// @notice System call of block 1: a genesis cannot hold its own hash.
    function begin() external {
        if (msg.sender != SYSTEM || block.number != 1) revert NotAllowed(msg.sender);
        genesisHash = blockhash(0);
    }

    /// @notice Proves that one authority signed both statements.
    /// @param kind 1 proposal, 2 prevote, 3 precommit.
    /// @param version Set of authorities that decided `height`.
    function submit(
        uint8 kind,
        uint64 height,
        uint32 round,
        uint64 version,
        Statement calldata a,
        Statement calldata b
    ) external {
        uint64 oldest = block.number > MAX_AGE_BLOCKS ? uint64(block.number) - MAX_AGE_BLOCKS : 1;
        if (height < oldest || height > block.number) revert HeightRefused(height, oldest, uint64(block.number));
        if (a.blockHash == b.blockHash) revert NoContradiction(a.blockHash);
        _check(kind, round, a);
        _check(kind, round, b);
        address signer = _signer(0, kind, height, round, a);
        address second = _signer(1, kind, height, round, b);
        if (signer != second) revert SignersDiffer(signer, second);
        _mustDecide(version, height);
        if (AUTHORITIES.seat(version, signer) == 0) revert NotAuthority(signer, version);
        bytes32 place = keccak256(abi.encode(signer, height, round, kind));
        if (proven[place]) revert AlreadyProven(signer, height, round, kind);
        proven[place] = true;
        BONDS.slash(signer, FINE_BPS, msg.sender);
        // While a decided change waits to act this reverts, and all with it: the evidence is sent again two blocks later.
        bool expelled = AUTHORITIES.expel(signer);
        emit Proven(signer, msg.sender, kind, height, round, expelled);
    }

    /// @notice True when a double signature at this place has been punished.
    function isProven(address signer, uint64 height, uint32 round, uint8 kind) external view returns (bool) {
        return proven[keccak256(abi.encode(signer, height, round, kind))];
    }

    /// @dev A vote has no valid round; a proposal names a block, and a valid round before its own.
    function _check(uint8 kind, uint32 round, Statement calldata statement) private pure {
        uint32 valid = statement.validRoundPlusOne;
        bool fits = kind == PROPOSAL ? statement.blockHash != 0 && valid <= round : valid == 0;
        if (kind < PROPOSAL || kind > PRECOMMIT || round > MAX_ROUND || !fits) revert NotAStatement(kind, round, valid);
    }

    function _signer(uint256 index, uint8 kind, uint64 height, uint32 round, Statement calldata statement)
        private
        view
        returns (address signer)
    {
        bytes32 digest = keccak256(
            abi.encodePacked(
                TAG,
                uint64(block.chainid),
                genesisHash,
                kind,
                height,
                round,
                statement.validRoundPlusOne,
                statement.blockHash
            )
        );
        if (statement.recovery > 1 || uint256(statement.s) > HALF_ORDER) revert SignatureRefused(index);
        signer = ecrecover(digest, statement.recovery + 27, statement.r, statement.s);
        if (signer == address(0)) revert SignatureRefused(index);
    }

    /// @dev The version acts from its first block to the one before the next version's.
    function _mustDecide(uint64 version, uint64 height) private view {
        uint64 latest = AUTHORITIES.latestVersion();
        bool fits = version <= latest && AUTHORITIES.setOf(version) <= height
            && (version == latest || height < AUTHORITIES.setOf(version + 1));
        if (!fits) revert VersionRefused(version);
    }
}
