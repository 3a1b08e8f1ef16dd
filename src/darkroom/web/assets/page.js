// Before the first paint, so that nothing flashes: the theme that was chosen, else the system's.
(() => {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const wanted = () => localStorage.darkroomTheme || (dark.matches ? "dark" : "light");
  const lay = () => { document.documentElement.dataset.theme = wanted(); };
  window.turnTheme = () => { localStorage.darkroomTheme = wanted() === "dark" ? "light" : "dark"; lay(); };
  dark.addEventListener("change", lay);
  lay();
})();

// A sheet over the page: until it is closed nothing behind it can be reached.
window.openOver = (id) => {
  window.beforeOver = document.activeElement;
  document.querySelectorAll(".top, .place").forEach((part) => (part.inert = true));
  setTimeout(() => getHtmlElement(id)?.querySelector(".close")?.focus(), 50);
};
window.closeOver = () => {
  document.querySelectorAll(".top, .place").forEach((part) => (part.inert = false));
  window.beforeOver?.focus?.();
};
addEventListener("keydown", (event) => {
  if (event.key === "Escape") document.querySelector(".over .close")?.click();
});
