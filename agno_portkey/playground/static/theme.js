// Light, dark, or as the system has it: kept in this browser, set before the first paint.

const KEY = "agno-portkey.theme";
const ORDER = ["system", "light", "dark"];

function kept() {
  try {
    const said = localStorage.getItem(KEY);
    return ORDER.includes(said) ? said : "system";
  } catch {
    return "system"; // a browser that keeps nothing
  }
}

function set(theme) {
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}

/** Have `button` go round the themes; it says which one is on. `changed` hears of each change. */
export function themeButton(button, changed = () => {}) {
  const show = (theme) => {
    button.textContent = { system: "Auto", light: "Light", dark: "Dark" }[theme];
    button.setAttribute("aria-label", `Theme: ${button.textContent}. Change it`);
  };
  show(kept());
  button.addEventListener("click", () => {
    const theme = ORDER[(ORDER.indexOf(kept()) + 1) % ORDER.length];
    try {
      localStorage.setItem(KEY, theme);
    } catch {
      // it holds for this page
    }
    set(theme);
    show(theme);
    changed(theme);
  });
}

set(kept());
