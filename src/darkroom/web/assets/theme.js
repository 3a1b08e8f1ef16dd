// Before the first paint, so that nothing flashes: the theme that was chosen, else the system's.
(() => {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const wanted = () => localStorage.darkroomTheme || (dark.matches ? "dark" : "light");
  const lay = () => { document.documentElement.dataset.theme = wanted(); };
  window.turnTheme = () => { localStorage.darkroomTheme = wanted() === "dark" ? "light" : "dark"; lay(); };
  dark.addEventListener("change", lay);
  lay();
})();
