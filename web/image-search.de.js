/** What `<image-search>` says in a page that speaks German; image-search.js has the English texts. */

const pictures = (count) => `${count.toLocaleString("de")} ${count === 1 ? "Bild" : "Bilder"}`;

export default {
  label: "Was soll auf dem Bild sein",
  search: "Suchen",
  more: "Mehr zeigen",
  again: "Noch einmal",
  searching: "Die Suche läuft …",
  key: "Schlüssel",
  keyWanted: "Dieser Server verlangt einen Schlüssel, den Sie von seinem Besitzer bekommen.",
  broken: "In dieser Suche ging etwas kaputt.",
  network: "Prüfen Sie Ihr Netz, oder ob er läuft.",
  offline: "Sie sind offline. Die Suche geht weiter, wenn die Verbindung wieder da ist.",
  onTheWay: "Die ersten Bilder zu diesem Stichwort sind unterwegs …",
  nothing: "Es wurden keine Bilder gefunden.",
  noMatch: "Nichts hier zeigt das. Am nächsten kommen diese.",
  missing: "Bild nicht verfügbar",
  undescribed: "Bild ohne Beschreibung",
  matches: { strong: "Passt sehr gut", fair: "Passt gut", weak: "Passt wenig", none: "Passt nicht" },
  failures: {
    unreached: "Der Server antwortet nicht",
    late: "Der Server schwieg zu lange",
    refused: "Der Server kann gerade nicht antworten",
    login: "Der Server antwortet dieser Seite nicht: Er verlangt eine Anmeldung oder lässt sie nicht zu",
    odd: "Was geantwortet hat, ist kein imagesearch",
    older: "Der Server hat eine andere Version, die einen Teil dieser Suche nicht beachtet",
    unfinished: "Nach fünf Minuten ist noch keine vollständige Antwort da",
  },
  soFar: (count) => `${pictures(count)} bisher, weitere sind unterwegs.`,
  best: (count) => `${pictures(count)}, die besten zuerst.`,
  countdown: (seconds) => `Neuer Versuch in ${seconds} s …`,
};
