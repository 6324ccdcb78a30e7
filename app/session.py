"""One person's app: what is typed, asked and shown, put together of the parts in `views/`.

What is shown of an answer is decided in `shown.py`, and when it is asked again in the client. What
is said is kept as what says it, so that another language changes every sentence.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from functools import partial

import flet as ft

from app import recent, shown, words
from app.api import Api, Countdown, SoFar
from app.search import Search, in_its_place, name_of_picture, search_at
from app.shown import Facet, Notice
from app.views.chips import Chips
from app.views.controls import menu
from app.views.events import on
from app.views.form import Form, Part
from app.views.lightbox import Lightbox
from app.views.look import INK, MUTED, NARROW, themes
from app.views.results import Results
from app.views.start import Start
from app.views.status import NoticeBox, Progress
from imagesearch.client import Answer, Hit, SearchFailed

LANGUAGE_SLOT, BRIGHTNESS_SLOT = "imagesearch.language", "imagesearch.brightness"
SIDE, NARROW_SIDE = 28, 12  # logical pixels beside the pictures
PICTURES_KEPT = 3  # of the device, the last ones
_BRIGHTNESS = {mode.value: mode for mode in ft.ThemeMode}
Work = Callable[[], Awaitable[None]]
Complaints = Callable[[words.Say], Mapping[str, str]]  # by the field of the form
_logger = logging.getLogger(__name__)


class Session:
    """
    The app on one screen.

    Args:
        page: of Flet.
        api_url: of the imagesearch that it searches.
    """

    def __init__(self, page: ft.Page, api_url: str) -> None:
        self._page, self._api = page, Api(api_url, self._count_down)
        self._language = words.DEFAULT
        self._brightness = ft.ThemeMode.SYSTEM
        self._search = Search()
        self._answer: SoFar | None = None
        self._facets: dict[str, Facet] = {}
        self._facets_of: Search | None = None
        self._notice: Callable[[str], Notice | None] | None = None  # of a language
        self._complaints: Complaints = _no_complaints
        self._is_at_work = False
        self._recent: list[str] = []
        self._collections: tuple[str, ...] = ()
        self._demo: tuple[str, ...] | None = None  # its keywords; None until it is known
        self._has_told = False  # the API, of collections and demo
        self._pictures: dict[str, bytes] = {}  # of the device, by the name that searches have
        self._urls: dict[str, str] = {}  # of stored pictures that were shown, by image id
        self._task: asyncio.Task[None] | None = None
        self._again: Work = partial(self._run, self._search)
        self._asking: asyncio.Task[None] | None = None
        self._lightbox = Lightbox(self._more_like)
        self._store = ft.SharedPreferences()
        self._picker = ft.FilePicker()

    # -- to begin with

    async def start(self) -> None:
        """Show the app, and run the search that the address holds."""
        page = self._page
        page.padding = 0
        page.theme, page.dark_theme = themes()
        page.on_route_change = self._follow_address
        page.on_resize = self._lay_out_anew
        page.on_keyboard_event = self._press
        page.on_close = self._leave  # and not on_disconnect: a telephone that slept comes back
        self._search = search_at(page.route or "/")
        of_device, searches, language, brightness = await asyncio.gather(
            self._device_language(),
            self._kept(recent.SLOT),
            self._kept(LANGUAGE_SLOT),
            self._kept(BRIGHTNESS_SLOT),
        )
        self._recent = recent.read(searches)
        self._language = str(language) if language in words.LANGUAGES else of_device
        self._brightness = _BRIGHTNESS.get(str(brightness), ft.ThemeMode.SYSTEM)
        self._build()
        page.update()
        if self._search.can_be_asked:
            await self._run(self._search)
        self._ask_beside()

    async def _device_language(self) -> str:
        device = await self._page.get_device_info()
        locales = device.locales if device else []
        return words.language_of(locales[0].language_code if locales else None)

    async def _kept(self, slot: str) -> object:
        """Return what the device has kept there; it may refuse to keep anything."""
        try:
            return await self._store.get(slot)
        except RuntimeError as error:
            _logger.warning("the device gives nothing of its storage: %s", error)
            return None

    async def _keep(self, slot: str, value: str | list[str]) -> None:
        try:
            await self._store.set(slot, value)
        except RuntimeError as error:
            _logger.warning("the device keeps nothing in its storage: %s", error)

    def _ask_beside(self) -> None:
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask_what_there_is())

    async def _ask_what_there_is(self) -> None:
        """Ask for collections and demo; of an API that tells nothing, what was known stays."""
        collections, demo = await asyncio.gather(self._api.collections(), self._api.demo_keywords())
        self._has_told = collections is not None and demo is not None
        self._collections = self._collections if collections is None else collections
        self._demo = (self._demo or ()) if demo is None else demo
        self._form.set_places(self._collections)
        self._show()

    # -- the screen

    @property
    def _is_narrow(self) -> bool:
        return (self._page.width or 1280) < NARROW

    def _build(self) -> None:
        """Put the screen together, in the language and for the width that there are."""
        say = self._say = words.speaker(self._language)
        self._page.theme_mode = self._brightness
        self._page.locale_configuration = ft.LocaleConfiguration(
            [ft.Locale(language) for language in words.LANGUAGES], ft.Locale(self._language)
        )
        self._built_narrow = self._is_narrow
        self._form = Form(
            say,
            is_narrow=self._built_narrow,
            on_send=self._send,
            on_choose=self._choose_picture,
            on_take_out=self._take_out,
        )
        self._form.set_places(self._collections)
        self._form.show(self._search, self._parts())
        self._chips = Chips(say, self._language, self._filter)
        self._results = Results(say, self._open)
        self._name = ft.Text(size=18 if self._built_narrow else 24, weight=ft.FontWeight.W_600)
        self._heading = ft.Semantics(
            content=self._name, header=True, container=True, heading_level=1
        )
        self._progress = Progress(say, self._stop)
        self._box = NoticeBox(say, self._answer_call)
        self._start = Start(
            say, self._language, on_search=self._send, on_forget=self._forget_recent
        )
        side = NARROW_SIDE if self._built_narrow else SIDE
        self._list = ft.ListView(
            expand=True, spacing=12, padding=ft.Padding.only(left=side, right=side, bottom=32)
        )
        top = ft.Column([self._header(), self._form.control], spacing=6, tight=True)
        above = ft.Container(top, padding=ft.Padding.only(left=side, right=side, top=4, bottom=8))
        self._page.controls = [
            ft.SafeArea(ft.Column([above, self._list], spacing=0, expand=True), expand=True)
        ]
        self._fill()

    def _header(self) -> ft.Control:
        name = ft.TextButton(
            style=ft.ButtonStyle(padding=ft.Padding.only(left=0, right=8)),
            content=ft.Row(
                [ft.Image("favicon.svg", width=26, height=26, exclude_from_semantics=True),
                 ft.Text("imagesearch", size=18, weight=ft.FontWeight.W_600, color=INK)],
                spacing=8, tight=True,
            ),
            tooltip=ft.Tooltip(message=self._say("new_search"), exclude_from_semantics=True),
            on_click=on(self._begin_anew),
        )  # fmt: skip
        languages = [
            ft.PopupMenuItem(text, checked=key == self._language, on_click=on(self._speak, key))
            for key, text in words.LANGUAGES.items()
        ]
        modes = [
            ft.PopupMenuItem(
                self._say(mode.value),
                checked=mode == self._brightness,
                on_click=on(self._light, mode),
            )
            for mode in _BRIGHTNESS.values()
        ]
        return ft.Row(
            [
                ft.Container(name, expand=True, alignment=ft.Alignment.CENTER_LEFT),
                menu(_face(ft.Icons.TRANSLATE), self._say("language"), languages),
                menu(_face(ft.Icons.BRIGHTNESS_6), self._say("brightness"), modes),
            ]
        )

    def _show(self) -> None:
        """Show what has changed."""
        self._fill()
        self._page.update()

    def _fill(self) -> None:
        self._page.title = self._title()
        self._list.controls = self._begin() if self._is_idle else self._outcome()

    def _build_anew(self) -> None:
        """Put the screen together for what has changed, with what is typed and said in it."""
        typed = self._form.search()
        self._build()
        self._form.show(typed, self._parts())
        self._form.show_complaints(self._complaints(self._say))
        self._show()

    def _title(self) -> str:
        if not self._search.can_be_asked:
            return "imagesearch"
        return f"{shown.name_of(self._search, self._language)} · imagesearch"

    @property
    def _is_idle(self) -> bool:
        return not (self._search.can_be_asked or self._answer or self._notice)

    def _begin(self) -> list[ft.Control]:
        return self._start.controls([search_at(a) for a in self._recent], self._demo)

    def _outcome(self) -> list[ft.Control]:
        search, answer, say = self._search, self._answer, self._say
        controls: list[ft.Control] = []
        if search.can_be_asked:
            self._name.value = shown.name_of(search, self._language)
            controls.append(self._heading)
        if answer or self._facets:
            self._chips.show(self._facets.values())
            controls.append(self._chips.control)
        notice = self._notice(self._language) if self._notice else None
        if notice:  # at work, of a pause before another try
            self._box.show(notice)
            controls.append(self._box.control)
        elif self._is_at_work:
            pool = answer.pool if answer else None
            text = shown.progress_of(search, answer, self._language)
            self._progress.show(text, shown.readiness_of(answer, say), shown.share_of(pool))
            controls.append(self._progress.control)
        if answer is None:
            return controls
        texts = [shown.summary_of(search, answer, self._language), *shown.remarks_of(answer, say)]
        controls += [ft.Text(text, color=MUTED) for text in texts if text]
        controls += self._results.rows(answer.results, self._width)
        if answer.next and not self._is_at_work:
            more = ft.OutlinedButton(say("show_more"), on_click=on(self._show_more))
            controls.append(ft.Row([more], alignment=ft.MainAxisAlignment.CENTER))
        return controls

    @property
    def _width(self) -> float:
        side = NARROW_SIDE if self._built_narrow else SIDE
        return (self._page.width or 1280) - 2 * side

    def _parts(self) -> list[Part]:
        """Return the pictures that the search goes by."""
        search = self._search
        parts = [
            Part(
                self._say("this_picture"),
                self._urls.get(image_id),
                replace(search, like=tuple(like for like in search.like if like != image_id)),
            )
            for image_id in search.like
        ]
        if search.picture:
            picture = self._pictures.get(search.picture)
            parts.append(Part(self._say("your_picture"), picture, replace(search, picture="")))
        return parts

    # -- what is done

    async def _send(self, search: Search) -> None:
        """Search what the form says, or say what is wrong with it."""
        self._complain(partial(shown.complaints, search))
        if self._complaints(self._say):
            self._page.update()
            return
        await self._go(search)

    def _complain(self, complaints: Complaints) -> None:
        self._complaints = complaints
        self._form.show_complaints(complaints(self._say))

    async def _go(self, search: Search) -> None:
        """Run *search*, and bring it into the address; one that is there already is run again."""
        await self._run(search)
        is_current = search == self._search  # and no other was begun meanwhile
        if is_current and search.address() != self._page.route:
            await self._page.push_route(search.address())

    async def _follow_address(self, event: ft.RouteChangeEvent) -> None:
        """Run the search of an address that the browser went to."""
        search = search_at(event.route)
        if search == self._search:
            return
        self._lightbox.close()  # it is of the pictures before
        if search.can_be_asked:
            await self._run(search)
        else:
            self._rest(search)

    async def _begin_anew(self) -> None:
        self._rest(Search())
        await self._page.push_route("/")

    def _rest(self, search: Search) -> None:
        """Show *search*, which asks for nothing yet, and what there is to begin with."""
        self._end()
        self._search, self._answer, self._notice = search, None, None
        self._complaints = _no_complaints
        self._form.show(search, self._parts())
        self._show()

    async def _filter(self, name: str, value: str) -> None:
        """Search what the form says, with that filter: what is typed is not lost."""
        await self._send(self._form.search().filtered(name, value))

    async def _take_out(self, search: Search) -> None:
        if search.can_be_asked:
            await self._go(search)
        else:
            await self._begin_anew()

    async def _more_like(self, image_id: str) -> None:
        """Show what is like a picture, in the collection that is looked through."""
        filters = {"collection": self._search.collection} if self._search.collection else {}
        await self._go(Search(like=(image_id,), everywhere=True, filters=filters))

    async def _open(self, at: int) -> None:
        if self._answer:
            self._lightbox.open(self._page, self._say, self._answer.results, at)

    async def _press(self, event: ft.KeyboardEvent) -> None:
        """Step from picture to picture in the large view."""
        steps = {"Arrow Left": -1, "Arrow Right": 1}
        if event.key in steps:
            await self._lightbox.step(steps[event.key])
            self._page.update()

    async def _choose_picture(self) -> None:
        files = await self._picker.pick_files(
            file_type=ft.FilePickerFileType.IMAGE,
            with_data=True,
            cancel_upload_on_window_blur=False,
        )
        if not files or not files[0].bytes:
            return
        picture = files[0].bytes
        if len(picture) > shown.MOST_PICTURE_BYTES:
            self._complain(partial(shown.too_large, len(picture)))
            self._page.update()
            return
        name = name_of_picture(picture)
        self._pictures.pop(name, None)  # so that it is the last one
        self._pictures[name] = picture
        for old in list(self._pictures)[:-PICTURES_KEPT]:
            del self._pictures[old]
        await self._go(self._by_picture(name))

    def _by_picture(self, name: str) -> Search:
        """Return the search by that picture: it joins what was not searched yet, or begins anew."""
        said, sent = self._form.search(), self._search
        is_lost = sent.picture and sent.picture not in self._pictures
        if is_lost or said != sent:
            return in_its_place(replace(said, picture=name))
        return Search(picture=name).filtered("collection", sent.collection)

    async def _speak(self, language: str) -> None:
        self._language = language
        self._build_anew()
        await self._keep(LANGUAGE_SLOT, language)

    async def _light(self, mode: ft.ThemeMode) -> None:
        self._brightness = mode
        self._build_anew()
        await self._keep(BRIGHTNESS_SLOT, mode.value)

    async def _forget_recent(self) -> None:
        self._recent = []
        self._show()
        await self._keep(recent.SLOT, [])

    async def _lay_out_anew(self, _: ft.PageResizeEvent) -> None:
        self._lightbox.fit(self._page)
        if self._is_narrow != self._built_narrow:
            self._build_anew()
        else:
            self._show()

    async def _answer_call(self, call: str) -> None:
        """Do what the button of a notice says."""
        if call == "stop":
            await self._stop()
        elif call == "give_key":
            self._ask_for_key()
        elif call == "choose_picture":
            await self._choose_picture()
        else:
            await self._again()

    def _ask_for_key(self) -> None:
        field = ft.TextField(label=self._say("key"), password=True, autofocus=True)

        async def leave() -> None:
            self._page.pop_dialog()

        async def give() -> None:
            self._api.give_key(field.value.strip())
            self._page.pop_dialog()
            await self._again()

        field.on_submit = on(give)
        self._page.show_dialog(
            ft.AlertDialog(
                title=self._say("needs_key"),
                content=field,
                actions=[
                    ft.TextButton(self._say("close"), on_click=on(leave)),
                    ft.TextButton(self._say("give_key"), on_click=on(give)),
                ],
            )
        )

    # -- the search

    async def _run(self, search: Search) -> None:
        """
        Show *search* and all that comes of it; one that runs is dropped.

        What is typed meanwhile stays where the same is searched again.
        """
        self._end()
        is_again = search == self._search
        self._search, self._answer, self._notice = search, None, None
        self._again = partial(self._run, search)
        if self._facets_of != replace(search, filters={}):
            self._facets, self._facets_of = {}, replace(search, filters={})
        self._complain(_no_complaints)
        if is_again:
            self._form.show_parts(self._parts())
        else:
            self._form.show(search, self._parts())
        if search.picture and search.picture not in self._pictures:
            self._notice = partial(shown.simple_notice, "lost_picture", call="choose_picture")
            self._show()
            return
        self._recent = recent.remembered(search, self._recent)
        self._begin_work(partial(self._followed, search))
        await self._keep(recent.SLOT, self._recent)

    def _begin_work(self, work: Work) -> None:
        self._is_at_work = True
        self._show()
        self._task = asyncio.create_task(self._worked(work))

    async def _worked(self, work: Work) -> None:
        """Do *work*; what fails is told, and what is cancelled has told what it wanted."""
        try:
            await work()
        except SearchFailed as failure:
            self._fail(failure)
        except Exception:
            _logger.exception("a search broke")
            self._is_at_work = False
            self._notice = partial(
                shown.simple_notice, "broken_here", call="try_again", is_calm=False
            )
            self._show()

    async def _followed(self, search: Search) -> None:
        picture = self._pictures.get(search.picture)
        async with aclosing(self._api.answers(search, picture)) as answers:
            async for answer in answers:
                self._take(answer)
                if not answer.complete:  # else its pictures would be built twice
                    self._show()
        self._finish()

    async def _continued(self, before: SoFar, cursor: str) -> None:
        """Show what comes after *before*; of a pool that was fetched anew, its beginning."""
        picture = self._pictures.get(self._search.picture)
        answer = await self._api.more(self._search, cursor, picture)
        if isinstance(answer, Answer) and not answer.restarted:
            joined = _joined(before.results, answer.results)
            answer = answer.model_copy(update={"results": joined})
        self._take(answer)
        self._finish()

    def _count_down(self, countdown: Countdown) -> None:
        self._notice = partial(shown.countdown_notice, countdown)
        self._show()

    def _take(self, answer: SoFar) -> None:
        self._answer, self._notice = answer, None
        self._urls |= {hit.image_id: shown.web_link(hit.url) for hit in answer.results}

    def _finish(self) -> None:
        self._is_at_work = False
        if self._answer:
            self._facets = shown.facets_of(self._search, self._answer.results, self._facets)
            self._notice = partial(shown.outcome_of, self._search, self._answer)
        self._show()
        if not self._has_told:  # it was away, or asked for a key
            self._ask_beside()

    def _fail(self, failure: SearchFailed) -> None:
        self._is_at_work = False
        # A filter that is refused has to be on offer, to be taken off.
        self._facets |= shown.facets_of(self._search, (), self._facets)
        self._notice = partial(shown.failure_notice, failure, has_key=self._api.has_key)
        self._complain(
            lambda _: {failure.field: shown.failure_notice(failure, self._language).text}
        )
        self._show()

    async def _show_more(self) -> None:
        if self._answer and self._answer.next:
            self._end()
            self._notice, self._again = None, self._show_more
            self._begin_work(partial(self._continued, self._answer, self._answer.next))

    async def _stop(self) -> None:
        self._end()
        self._notice = partial(shown.simple_notice, "stopped", call="go_on")
        self._show()

    def _end(self) -> None:
        """End what runs, without a word."""
        if self._task:
            self._task.cancel()
        self._task, self._is_at_work = None, False

    async def _leave(self, _: ft.Event[ft.Page]) -> None:
        self._end()
        if self._asking:
            self._asking.cancel()


def _face(icon: ft.IconData) -> ft.Control:
    return ft.Container(ft.Icon(icon, color=MUTED), padding=8)


def _joined(before: Sequence[Hit], after: Sequence[Hit]) -> list[Hit]:
    """Return both without what is in them twice, as where the pool has grown in between."""
    return list({hit.image_id: hit for hit in (*before, *after)}.values())


def _no_complaints(_: words.Say) -> Mapping[str, str]:
    return {}
