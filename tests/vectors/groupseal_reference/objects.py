# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/protocol.md sections 5 and 6: announcement, block, policy, roster, order. For each: its limits, its list,
and its label. `check` refuses; `sign` refuses what `check` would."""

from . import tree
from .lists import (HASH_SIZE, INSTANCE_SIZE, KEY_SIZE, fix, label, listed, require, sha256, sign, u8, u32, u64, var,
                    verify)
from .names import is_absolute, is_group, is_site

EVICTED_LIMIT = 64
RELAYS_LIMIT = 64
COMMANDERS_LIMIT = 16
ENTRIES_LIMIT = 128
TARGETS_LIMIT = 256
SITES_LIMIT = 64
BODY_LIMIT = 16 * 1024
COMMAND_ID_SIZE = 16


def _sites_limits(sites):
    require(len(sites) <= SITES_LIMIT and all(is_site(site) for site in sites), "no site, or too many")


def _head(thing):
    return var(thing.group) + fix(thing.instance, INSTANCE_SIZE) + u64(thing.incarnation)


# ---- announcement ----

def announcement_limits(thing):
    require(is_group(thing.group), "no group")
    require(len(thing.evicted) <= EVICTED_LIMIT, "too many evicted")
    require(all(thing.evicted) and sum(thing.evicted) < 2**64, "serials that do not rise")
    require(thing.height >= 1, "no height")
    tree.unpack(thing.top, tree.top_row(thing.height), 0, thing.height)


def announcement_list(thing):
    return (_head(thing) + u64(thing.epoch) + u64(thing.beat) + u32(thing.height)
            + fix(thing.confirmation, HASH_SIZE) + fix(thing.policy_hash, HASH_SIZE) + u64(thing.time_ms)
            + listed(thing.evicted, u64)
            + u8(thing.overlap_ended) + var(thing.top))


def announcement_version(thing):
    return thing.incarnation, thing.epoch, thing.beat


# ---- block ----

def block_limits(thing):
    require(1 <= thing.height <= tree.HEIGHT_LIMIT and thing.row < tree.top_row(thing.height), "no row below the top")
    require(thing.column < 1 << thing.height - tree.LEVELS * (thing.row + 1), "no such column")
    tree.unpack(thing.nodes, thing.row, thing.column, thing.height)


def block_list(thing):
    return (fix(thing.instance, INSTANCE_SIZE) + u64(thing.incarnation) + u64(thing.epoch) + u32(thing.row)
            + u32(thing.column) + u32(thing.height) + var(thing.nodes))


# ---- policy ----

def policy_limits(thing):
    require(is_group(thing.group), "no group")
    require(len(thing.relays) <= RELAYS_LIMIT and len(thing.commanders) <= COMMANDERS_LIMIT, "too many")
    require(thing.aead in (0, 1), "no such cipher")
    for relay in thing.relays:
        require(is_absolute(relay.name) and is_site(relay.site), "a relay has no name or site")
    for commander in thing.commanders:
        require(is_absolute(commander.name), "no commander")
        _sites_limits(commander.sites)
    identities = [(relay.site, relay.incarnation, relay.serial) for relay in thing.relays]
    require(len(set(identities)) == len(identities), "a relay comes twice")
    commanders = [commander.name for commander in thing.commanders]
    require(len(set(commanders)) == len(commanders), "a commander comes twice")
    if thing.authority_only:
        require(not set(commanders) & {relay.name for relay in thing.relays}, "a commander is a relay")
        require(not {commander.key for commander in thing.commanders} & {relay.key for relay in thing.relays},
                "a commander has a relay's key")


def policy_list(thing):
    return (_head(thing) + u64(thing.number)
            + listed(thing.relays, lambda relay: var(relay.name) + var(relay.site) + u64(relay.incarnation)
                     + u64(relay.serial) + fix(relay.key, KEY_SIZE))
            + listed(thing.commanders, lambda commander: var(commander.name) + fix(commander.key, KEY_SIZE)
                     + listed(commander.sites, var))
            + u8(thing.aead) + u32(thing.overlap_ms) + u32(thing.response_window_ms) + u32(thing.beat_interval_s)
            + u8(thing.refuse_when_overdue) + u8(thing.sign_member_messages) + u8(thing.authority_only))


def policy_hash(thing):
    return sha256(policy_list(thing))


def policy_relay(thing, site, incarnation, serial):
    """Where in `relays` it is, or -1."""
    for place, relay in enumerate(thing.relays):
        if (relay.site, relay.incarnation, relay.serial) == (site, incarnation, serial):
            return place
    return -1


def policy_commander(thing, name, site):
    """Where in `commanders` it is (no name: the only one), or -1 where it may not command at this site."""
    if not name and len(thing.commanders) != 1:
        return -1
    for place, commander in enumerate(thing.commanders):
        if name in ("", commander.name):
            return place if not commander.sites or site in commander.sites else -1
    return -1


# ---- roster ----

def _rising(names):
    encoded = [name.encode() for name in names]
    return all(a < b for a, b in zip(encoded, encoded[1:]))


def _entries_limits(entries):
    require(len(entries) <= ENTRIES_LIMIT, "too many entries")
    require(_rising([entry.name for entry in entries]), "entries are not in rising order")
    for entry in entries:
        require(is_absolute(entry.name) and (entry.site == "" or is_site(entry.site)), "no entry")


def _entry(entry):
    return (var(entry.name) + u64(entry.incarnation) + u64(entry.serial) + fix(entry.signing_key, KEY_SIZE)
            + var(entry.site))


def _entries(entries):
    return listed(entries, _entry)


def roster_hash(entries):
    hashes = (sha256(label("roster entry") + _entry(entry)) for entry in entries)
    return (sum(int.from_bytes(one, "big") for one in hashes) % 2 ** 256).to_bytes(HASH_SIZE, "big")


def delta_limits(thing):
    require(is_group(thing.group), "no group")
    _entries_limits(thing.set)
    require(len(thing.removed) <= ENTRIES_LIMIT, "too many removed")
    require(_rising(thing.removed), "removed names are not in rising order")
    require(all(is_absolute(name) for name in thing.removed), "no name")
    require(not {entry.name for entry in thing.set} & set(thing.removed), "set and removed")


def delta_list(thing):
    return (_head(thing) + u64(thing.number) + _entries(thing.set) + listed(thing.removed, var)
            + fix(thing.hash, HASH_SIZE))


def page_limits(thing):
    require(is_group(thing.group), "no group")
    _entries_limits(thing.entries)
    require(thing.page < thing.pages, "no such page")


def page_list(thing):
    return (_head(thing) + u64(thing.number) + u32(thing.page) + u32(thing.pages) + _entries(thing.entries)
            + fix(thing.hash, HASH_SIZE))


# ---- order ----

def order_limits(thing, body):
    require(len(thing.targets) <= TARGETS_LIMIT and len(body) <= BODY_LIMIT, "over a limit")
    require(all(is_absolute(name) for name in thing.targets), "no target")
    _sites_limits(thing.sites)
    require(thing.commander == "" or is_absolute(thing.commander), "no commander")


def order_list(thing, instance, incarnation, body):
    return (fix(instance, INSTANCE_SIZE) + u64(incarnation) + listed(thing.sites, var)
            + fix(thing.command_id, COMMAND_ID_SIZE) + u64(thing.issued_ms) + u64(thing.expires_ms)
            + listed(thing.targets, var) + sha256(body))


def order_hash(thing, instance, incarnation, body):
    order_limits(thing, body)
    return sha256(label("order") + order_list(thing, instance, incarnation, body))


def order_is_relays(thing):
    return not thing.signature and not thing.commander


def order_at_site(thing, site):
    require(not thing.sites or site in thing.sites, "not for this site")


def order_check(thing, instance, incarnation, site, body, key):
    order_limits(thing, body)
    order_at_site(thing, site)
    verify(key, thing.signature, "order", order_list(thing, instance, incarnation, body))


def order_targets(thing, name):
    return not thing.targets or name in thing.targets


# ---- all ----

KINDS = {
    "Announcement": ("announcement", announcement_limits, announcement_list),
    "Block": ("block", block_limits, block_list),
    "Policy": ("policy", policy_limits, policy_list),
    "RosterDelta": ("roster delta", delta_limits, delta_list),
    "RosterPage": ("roster page", page_limits, page_list),
}


def check(thing, key):
    name, limits, fields = KINDS[thing.DESCRIPTOR.name]
    limits(thing)
    verify(key, thing.signature, name, fields(thing))


def sign_object(thing, seed):
    name, limits, fields = KINDS[thing.DESCRIPTOR.name]
    limits(thing)
    return sign(seed, name, fields(thing))


def sign_order(thing, instance, incarnation, body, seed):
    order_limits(thing, body)
    return sign(seed, "order", order_list(thing, instance, incarnation, body))
