// Foreign HTML as what may be shown: text and its structure, pictures that it carries itself, links that open elsewhere.
// Nothing in it runs, nothing of it is fetched. The policy of the page (index.html) says the same a second time.
import createDOMPurify from 'dompurify';
import type { Config } from 'dompurify';

const CONFIG: Config = {
  ALLOWED_TAGS: (
    'a abbr article b bdi bdo blockquote br caption cite code dd del details dfn div dl dt em figcaption figure h1 h2 h3 h4 h5 h6 ' +
    'hr i img ins kbd li main mark ol p pre q rp rt ruby s samp section small span strong sub summary sup table tbody td tfoot ' +
    'th thead time tr u ul var wbr #text'
  ).split(' '),
  // No names, classes or styles: a document looks and behaves as the reader says.
  ALLOWED_ATTR: ['href', 'src', 'alt', 'title', 'lang', 'dir', 'start', 'colspan', 'rowspan', 'datetime'],
  ALLOW_DATA_ATTR: false,
  ALLOW_ARIA_ATTR: false,
  RETURN_DOM_FRAGMENT: true,
};

/** What a page has beside what it says. */
const BESIDE = 'nav, aside, footer, form, button, [hidden], [aria-hidden="true"], [role="navigation"], script, style, noscript, template';

const purifier = createDOMPurify(window);
purifier.addHook('afterSanitizeAttributes', (node) => {
  if (node.tagName === 'IMG' && !/^data:image\/(?:png|jpeg|gif|webp|avif);/i.test(node.getAttribute('src') ?? '')) {
    // It would be fetched; what it shows is said instead.
    const alt = node.getAttribute('alt')?.trim() ?? '';
    if (alt === '') node.remove();
    else node.replaceWith(`[${alt}]`);
  } else if (node.tagName === 'A') {
    if (/^(?:https?|mailto):/i.test(node.getAttribute('href') ?? '')) {
      node.setAttribute('target', '_blank');
      node.setAttribute('rel', 'noopener noreferrer');
    } else node.removeAttribute('href');
  }
});

/** HTML that was sanitised before, as nodes: once more, since what is stored may be of an older version. */
export function fragmentOf(html: string): DocumentFragment {
  return purifier.sanitize(html, CONFIG) as unknown as DocumentFragment;
}

/** A foreign document: its title, where it has one, and its content. */
export function sanitize(html: string): { title: string | undefined; html: string } {
  // A parsed document is inert: it runs nothing and fetches nothing.
  const parsed = new DOMParser().parseFromString(html, 'text/html');
  for (const node of parsed.body.querySelectorAll(BESIDE)) node.remove();
  const articles = parsed.querySelectorAll('article');
  const main = articles.length === 1 ? articles[0] : parsed.querySelector('main');
  const box = document.createElement('div');
  box.append(fragmentOf((main ?? parsed.body).innerHTML));
  const words = (text: string | null | undefined): string | undefined => {
    const line = (text ?? '').replaceAll(/\s+/g, ' ').trim();
    return line === '' ? undefined : line;
  };
  return { title: words(box.querySelector('h1')?.textContent) ?? words(parsed.title), html: box.innerHTML };
}
