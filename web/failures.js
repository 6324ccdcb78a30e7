/** What the page says of what went wrong. */

import { LONGEST_RETRY_SECONDS } from "./client.js";
import { sentence } from "./words.js";

/** What the fields of the API are called on this page, as a message of the API begins with them. */
const FIELDS = {
  t: "The keyword", s_query: "The description", k: "The number of pictures", minus: "What comes after “without”",
  like: "The picture", picture: "The picture", cursor: "The place in the results", scope: "Where to search",
  orientation: "The orientation", colour: "The colour", tag: "The tag", user: "The name", source: "The source",
  year: "The year", month: "The month", collection: "The collection", folder: "The folder", album: "The album",
  camera: "The camera", fold: "Whether similar pictures are folded",
};

/** What the API says in the names of its fields, and what a person makes of it. */
const PLAIN_WORDS = [
  [/must name stored images/, "A picture that this search goes by is not stored here. Take it out, or choose another."],
  [/like must be given at most/, "These are more pictures than one search can go by. Take some of them out."],
  [/cannot be decoded/, "The picture is damaged and cannot be read. Choose another."],
  [/once normalised/, "The keyword is too long: some of its letters stand for several. Shorten it."],
  [/a character that can be seen/, "There is nothing in it that can be seen. Write it in letters."],
  [/must be given(, got| in scope)/, "Describe what should be in the picture, or choose one."],
  [/as no keyword is given/, "No word in it says what is to be seen. Say what that is, or give a keyword."],
  [/^cursor /, "The results are no longer the same ones. Search again for them."],
  [/^(the body|a body|a form) /, "Shorten the text, or take a smaller picture."],
  [/cancel out/, "What this search goes by points in opposite directions and cancels out. Change or take out some of it."],
];

const FAILURES = {
  400: ["This search was not accepted", "Change it and send it again."],
  401: ["This server asks for a key", "Search again and give the key that its owner gave you."],
  404: ["The search was not found", "There is no search where this page asks for it."],
  405: ["This server cannot do that yet", "It is older than this page. Search with words alone."],
  413: ["That is too much at once", "Shorten the text, or take a smaller picture."],
  422: ["The server could not read this search", "Change it and send it again."],
  429: ["Too many searches just now", "The server asks for a short break."],
  500: ["Something broke on the server", "Your search is fine. Try it again in a moment."],
  502: ["The search is not available right now", "The server is starting or too busy."],
  503: ["The search is not available right now", "The server is starting or too busy."],
  504: ["The search took too long", "The server gave up waiting. A second try is often faster."],
};

// Without a reason of the server's own, of what stands before it.
const LOGIN = {
  title: "A login stands before this server",
  text: "This page cannot sign in there. Open the server's address in another tab, sign in, and try again.",
};

const KINDS = {
  older: ["This server is of another version", "It took no notice of a part of this search, so that its pictures would be the wrong ones."],
  late: ["No answer from the server", "It was silent for too long."],
  unfinished: ["Still not finished", "After 5 minutes there is no whole answer. Try again to go on from here."],
};

/** Title and text for *failure*, of the client or of this page. */
export function failureWords(failure) {
  const { kind } = failure;
  if (!kind) return { title: "Something broke on this page", text: String(failure) };
  if (kind === "unreached") return { title: "No connection to the server", text: navigator.onLine ? UNREACHED : OFFLINE };
  if (kind === "login") return LOGIN;
  if (kind in KINDS) return { title: KINDS[kind][0], text: KINDS[kind][1] };
  return refusalWords(failure);
}

const UNREACHED = "Check your network, or whether the server is running.";
const OFFLINE = "You are offline. The search goes on when the connection is back.";

/** What a person can expect of waiting out *failure*; "" where it cannot be. */
export function outlookOf({ kind, retrySeconds, tries }) {
  if (kind !== "refused" || retrySeconds === null) return "";
  if (retrySeconds <= LONGEST_RETRY_SECONDS) return `It still fails after ${tries} tries.`;
  const minutes = Math.round(retrySeconds / 60);
  return `Come back in about ${minutes < 120 ? `${minutes} minutes` : `${Math.ceil(minutes / 60)} hours`}.`;
}

/** The server's own *error* says more, where it has one. */
function refusalWords({ status, error }) {
  const [title, text] = FAILURES[status] ?? (status >= 500 ? FAILURES[500] : [
    "The server's answer makes no sense",
    `Something that is not a search answer came back (HTTP ${status}).`,
  ]);
  return { title, text: serversWords(error) ?? text };
}

/** The server's own words, in which a field has the name that people know it by. */
function serversWords({ message, field }) {
  if (typeof message !== "string" || !message) return null;
  const plain = PLAIN_WORDS.find(([pattern]) => pattern.test(message));
  if (plain) return plain[1];
  const name = FIELDS[field];
  return sentence(name && new RegExp(`^${field}\\b(?! or|,)`).test(message) ? name + message.slice(field.length) : message);
}
