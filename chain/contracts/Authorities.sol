// SPDX-License-Identifier: MIT
// Owns the versioned set of authorities and its changes by vote. Consensus and LearningRounds read it.
pragma solidity 0.8.37;

import {EVIDENCE, MAX_AUTHORITIES, NotAllowed} from "./Protocol.sol";

/// @title Authorities: who finalises blocks and audits training
/// @notice Every version of the set is kept, since masks of older rounds and certificates name members by index.
contract Authorities {
    struct Member {
        address account;
        bytes publicKey;
    }

    struct Set {
        /// @dev First block in which the set acts.
        uint64 activeFrom;
        address[] accounts;
    }

    struct Proposal {
        uint64 version;
        uint64 deadline;
        uint120 votes;
        bool closed;
        bool add;
        address account;
        bytes publicKey;
    }

    /// @dev Blocks between the deciding vote and the new set's first block (H+2), and a proposal's life (1 day of 1 s blocks).
    uint64 private constant ACTIVATION_BLOCKS = 2;
    uint64 private constant PROPOSAL_BLOCKS = 86_400;
    /// @dev Fewer than four tolerate no failure: no vote goes below (research bound of the Tendermint family).
    uint256 private constant LEAST = 4;

    /// @dev Field prime of secp256k1 (SEC 2).
    uint256 private constant P = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEFFFFFC2F;

    uint64 private latest;
    mapping(uint64 version => Set) private sets;
    mapping(uint64 version => mapping(address account => uint256)) private seats;
    mapping(address account => bytes) private keys;
    Proposal[] private proposals;
    /// @notice First block of the set that an account was last removed by; 0 for none. Its bond is unbonding from then on.
    mapping(address account => uint64) public leftBlock;

    /// @notice A version of the set was decided and acts from `activeFrom`.
    event SetDecided(uint64 indexed version, uint64 activeFrom, address[] accounts);
    event Proposed(uint256 indexed proposal, address indexed by, bool add, address indexed account, bytes publicKey);
    event Voted(uint256 indexed proposal, address indexed by);
    /// @notice A member was removed for proven double signing.
    event Expelled(address indexed account);

    error NotAuthority(address caller);
    error AlreadyVoted(address caller);
    error ProposalOver(uint256 proposal);
    error SetOutOfRange(uint256 size);
    error MemberRefused(address account);
    error KeyRefused(bytes publicKey);
    error ChangePending(uint64 activeFrom);

    /// @param members First set, acting from block 0: 1 to 100 members with 33-byte compressed keys, no address twice.
    constructor(Member[] memory members) {
        if (members.length == 0 || members.length > MAX_AUTHORITIES) revert SetOutOfRange(members.length);
        for (uint256 i; i < members.length; ++i) {
            _admit(0, members[i].account, members[i].publicKey);
        }
    }

    /// @notice Proposes to add or remove a member, and votes for it. One change is under way at a time.
    function propose(bool add, address account, bytes calldata publicKey) external returns (uint256 proposal) {
        uint64 version = _changeable();
        _mustSit(version, msg.sender);
        if (add == (seats[version][account] != 0)) revert MemberRefused(account);
        if (add) _checkKey(account, publicKey);
        proposal = proposals.length;
        Proposal storage fresh = proposals.push();
        fresh.version = version;
        fresh.deadline = uint64(block.number) + PROPOSAL_BLOCKS;
        fresh.add = add;
        fresh.account = account;
        fresh.publicKey = publicKey;
        emit Proposed(proposal, msg.sender, add, account, publicKey);
        _vote(proposal, version);
    }

    /// @notice Votes for a proposal of the set in force; the vote that makes the quorum decides the next set.
    function vote(uint256 proposal) external {
        _vote(proposal, _changeable());
    }

    function _vote(uint256 number, uint64 version) private {
        if (number >= proposals.length) revert ProposalOver(number);
        Proposal storage proposal = proposals[number];
        if (proposal.closed || proposal.version != version || block.number >= proposal.deadline) revert ProposalOver(number);
        uint120 bit = uint120(1 << (_mustSit(version, msg.sender) - 1));
        if (proposal.votes & bit != 0) revert AlreadyVoted(msg.sender);
        proposal.votes |= bit;
        emit Voted(number, msg.sender);
        if (_count(proposal.votes) < quorumOf(version)) return;
        proposal.closed = true;
        _decide(version, proposal.add, proposal.account, proposal.publicKey);
    }

    /// @notice Removes a member, without a vote and as soon as a vote would. Only the evidence contract.
    /// @return removed False when the account is no member, or the set would fall below the least: nothing changes then.
    /// While a decided set waits to act this reverts; the evidence can be sent again.
    function expel(address account) external returns (bool removed) {
        if (msg.sender != EVIDENCE) revert NotAllowed(msg.sender);
        uint64 version = _changeable();
        if (seats[version][account] == 0 || sets[version].accounts.length <= LEAST) return false;
        emit Expelled(account);
        _decide(version, false, account, "");
        return true;
    }

    function _decide(uint64 version, bool add, address subject, bytes memory publicKey) private {
        address[] storage old = sets[version].accounts;
        uint256 length = old.length;
        uint64 next = version + 1;
        if (add ? length == MAX_AUTHORITIES : length <= LEAST) revert SetOutOfRange(length);
        for (uint256 i; i < length; ++i) {
            address account = old[i];
            if (add || account != subject) _seat(next, account);
        }
        uint64 from = uint64(block.number) + ACTIVATION_BLOCKS;
        if (add) _admit(next, subject, publicKey);
        else leftBlock[subject] = from;
        sets[next].activeFrom = from;
        latest = next;
        emit SetDecided(next, from, sets[next].accounts);
    }

    function _admit(uint64 version, address account, bytes memory publicKey) private {
        _checkKey(account, publicKey);
        if (seats[version][account] != 0) revert MemberRefused(account);
        keys[account] = publicKey;
        _seat(version, account);
    }

    function _seat(uint64 version, address account) private {
        sets[version].accounts.push(account);
        seats[version][account] = sets[version].accounts.length;
    }

    /// @dev The key must be the account's own: decompressed (SEC 1, 2.3.4), its hash must give the address.
    function _checkKey(address account, bytes memory publicKey) private view {
        if (publicKey.length != 33 || (publicKey[0] != 0x02 && publicKey[0] != 0x03)) revert KeyRefused(publicKey);
        uint256 x;
        assembly ("memory-safe") {
            x := mload(add(publicKey, 33))
        }
        uint256 square = addmod(mulmod(mulmod(x, x, P), x, P), 7, P);
        // P = 3 mod 4, so a root is square^((P + 1) / 4); by the modular exponentiation precompile (EIP-198).
        (bool done, bytes memory root) = address(5).staticcall(abi.encode(32, 32, 32, square, (P + 1) / 4, P));
        if (!done || root.length != 32) revert KeyRefused(publicKey);
        uint256 y = abi.decode(root, (uint256));
        if (x >= P || mulmod(y, y, P) != square) revert KeyRefused(publicKey);
        if (y & 1 != uint8(publicKey[0]) & 1) y = P - y;
        if (address(uint160(uint256(keccak256(abi.encode(x, y))))) != account) revert KeyRefused(publicKey);
    }

    /// @dev The set in force, once no decided set is waiting to act.
    function _changeable() private view returns (uint64 version) {
        version = latest;
        if (block.number < sets[version].activeFrom) revert ChangePending(sets[version].activeFrom);
    }

    function _mustSit(uint64 version, address account) private view returns (uint256 indexPlusOne) {
        indexPlusOne = seats[version][account];
        if (indexPlusOne == 0) revert NotAuthority(account);
    }

    function _count(uint256 mask) private pure returns (uint256 bits) {
        for (; mask != 0; mask &= mask - 1) ++bits;
    }

    /// @notice Version of the set that acts in this block.
    function activeVersion() public view returns (uint64) {
        uint64 version = latest;
        return block.number < sets[version].activeFrom ? version - 1 : version;
    }

    /// @notice Votes that decide in a set of n: floor(2n/3) + 1.
    function quorumOf(uint64 version) public view returns (uint256) {
        return (2 * sets[version].accounts.length) / 3 + 1;
    }

    /// @notice quorumOf the set that acts now.
    function quorum() external view returns (uint256) {
        return quorumOf(activeVersion());
    }

    /// @notice Members in a version.
    function size(uint64 version) external view returns (uint256) {
        return sets[version].accounts.length;
    }

    /// @notice Index of an account in a version, plus one; 0 when it is no member.
    function seat(uint64 version, address account) external view returns (uint256 indexPlusOne) {
        return seats[version][account];
    }

    /// @notice Member of a version by index.
    function member(uint64 version, uint256 index) external view returns (address) {
        return sets[version].accounts[index];
    }

    /// @notice True for a member of the set that acts now.
    function isAuthority(address account) external view returns (bool) {
        return seats[activeVersion()][account] != 0;
    }

    /// @notice Newest decided version; it may not act yet.
    function latestVersion() external view returns (uint64) {
        return latest;
    }

    /// @notice A version whole: first block, members with keys in index order, quorum.
    function setOf(uint64 version) external view returns (uint64 activeFrom, Member[] memory members, uint256 votes) {
        address[] storage accounts = sets[version].accounts;
        members = new Member[](accounts.length);
        for (uint256 i; i < members.length; ++i) members[i] = Member(accounts[i], keys[accounts[i]]);
        return (sets[version].activeFrom, members, quorumOf(version));
    }

    /// @notice Proposals made since genesis.
    function proposalCount() external view returns (uint256) {
        return proposals.length;
    }

    /// @notice A proposal by number.
    function proposalAt(uint256 number) external view returns (Proposal memory) {
        return proposals[number];
    }
}
