// Finding, building and filling elements.

/**
 * @param {string} id
 * @returns {any} The element with this id; the page is broken without it.
 */
export function byId(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no element "${id}"`);
  return found;
}

/**
 * @param {string} name Tag.
 * @param {Record<string, string | number | boolean | undefined>} [attributes] True: present; false and undefined: absent.
 * @param {...(Node | string)} children
 * @returns {HTMLElement}
 */
export function element(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

/** As `element`, for SVG. */
export function svg(name, attributes = {}, ...children) {
  return filled(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
}

function filled(node, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value === true) node.setAttribute(key, "");
    else if (value !== false && value !== undefined) node.setAttribute(key, String(value));
  }
  node.append(...children);
  return node;
}

/**
 * Let people choose; what they chose before stays chosen, if it is still there.
 * @param {HTMLSelectElement} select
 * @param {Map<string, string>} choices What is shown, by value.
 * @returns {boolean} Whether other things can be chosen than before.
 */
export function offer(select, choices) {
  const told = (options) => JSON.stringify(options);
  if (told([...choices]) === told([...select.options].map(({ value, text }) => [value, text]))) return false;
  const before = select.value;
  select.replaceChildren(...[...choices].map(([value, text]) => new Option(text, value)));
  if (choices.has(before)) select.value = before;
  return true;
}
