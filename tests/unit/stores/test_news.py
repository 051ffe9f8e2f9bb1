"""Who hears of which commits."""

from __future__ import annotations

import asyncio

from comity.stores.news import News


async def heard_of(*told: bool) -> list[str]:
    news, heard = News(), []
    news.watch(lambda: heard.append("others"))
    news.watch(lambda: heard.append("every"), every=True)
    for concerns_others in told:
        news.tell(concerns_others=concerns_others)
    await asyncio.sleep(0)
    return heard


async def test_a_plain_append_is_told_to_those_alone_who_asked_for_every_commit():
    assert await heard_of(False) == ["every"]


async def test_of_several_commits_each_watcher_hears_once():
    assert await heard_of(False, True, False) == ["every", "others"]


async def test_what_concerned_others_is_forgotten_once_it_is_told():
    news, heard = News(), []
    news.watch(lambda: heard.append("others"))
    news.watch(lambda: heard.append("every"), every=True)
    news.tell()
    await asyncio.sleep(0)
    news.tell(concerns_others=False)
    await asyncio.sleep(0)
    assert heard == ["every", "others", "every"]
