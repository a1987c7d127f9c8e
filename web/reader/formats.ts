// What can be opened, and the HTML of it, which is not to be trusted yet (sanitize.ts). A later format is a row more. Pure.
import { marked } from 'marked';

export type Format = 'text' | 'markdown' | 'html';

/** For the file dialog. */
export const ACCEPT = '.txt,.text,.md,.markdown,.html,.htm,.xhtml,text/plain,text/markdown,text/html';

const EXTENSIONS: Readonly<Record<string, Format>> = {
  txt: 'text',
  text: 'text',
  md: 'markdown',
  markdown: 'markdown',
  html: 'html',
  htm: 'html',
  xhtml: 'html',
};

/** The format of a file, or undefined. */
export function formatOf(name: string, type = ''): Format | undefined {
  const known = EXTENSIONS[/\.([^.]+)$/.exec(name)?.[1]?.toLowerCase() ?? ''];
  if (known !== undefined) return known;
  if (type.startsWith('text/html')) return 'html';
  if (type.startsWith('text/markdown')) return 'markdown';
  return type.startsWith('text/plain') ? 'text' : undefined;
}

/** What is looked at of a pasted text. */
const LOOK = 1 << 16;

/** The format of pasted text: HTML or Markdown when it looks much like it. */
export function guessFormat(whole: string): Format {
  const text = whole.slice(0, LOOK);
  if (/^\s*(?:<!doctype html|<html|<(?:article|body|main|div|p|h[1-6])[\s>])/i.test(text)) return 'html';
  return /^ {0,3}#{1,6} \S/m.test(text) || /^[ \t]*[-*] \S.*\n+[ \t]*[-*] \S/m.test(text) || /\[[^[\]\n]+\]\(\S/.test(text)
    ? 'markdown'
    : 'text';
}

/** The text of a file: UTF-8, UTF-16 with its mark, or what an HTML file says of itself. */
export function decodeText(bytes: Uint8Array, format: Format): string {
  const [a, b] = bytes;
  let label = a === 0xff && b === 0xfe ? 'utf-16le' : a === 0xfe && b === 0xff ? 'utf-16be' : 'utf-8';
  if (label === 'utf-8' && format === 'html') {
    const head = new TextDecoder('latin1').decode(bytes.subarray(0, 1024));
    const said = /<meta[^>]+charset\s*=\s*["']?([\w-]+)/i.exec(head)?.[1] ?? label;
    // Whoever could read that has not read UTF-16.
    if (!/^(?:utf-?16|unicode|ucs-2)/i.test(said)) label = said;
  }
  try {
    return new TextDecoder(label).decode(bytes);
  } catch {
    return new TextDecoder().decode(bytes);
  }
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}

/** Paragraphs of plain text: divided by blank lines; lines in one are joined. */
function paragraphs(text: string): string {
  return text
    .replaceAll(/\r\n?/g, '\n')
    .split(/\n[^\S\n]*\n\s*/)
    .map((part) => part.trim())
    .filter((part) => part !== '')
    .map((part) => `<p>${escaped(part)}</p>`)
    .join('\n');
}

/** The document as HTML. */
export function toHtml(text: string, format: Format): string {
  if (format === 'html') return text;
  return format === 'text' ? paragraphs(text) : marked.parse(text, { async: false, gfm: true });
}
