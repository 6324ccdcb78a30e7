/* Flutter draws on a canvas, and offers its semantics, by which screen readers and keyboards go, behind
   a button that one would have to find first. This presses it. */

const pressed = () => {
  const button = document.querySelector("flt-semantics-placeholder");
  button?.click();
  return button !== null;
};

addEventListener("flutter-first-frame", () => {
  const timer = setInterval(() => pressed() && clearInterval(timer), 50);
}, { once: true });
