/**
 * Makes a page's absolute links go through the proxy's path. Pure.
 * Source: k8s.io/apimachinery/pkg/util/proxy/transport.go: the attributes that hold URLs.
 */
const LINK =
  /(\s(?:href|src|action|background|cite|data|longdesc|manifest|poster|profile|usemap)\s*=\s*)("\/(?!\/)[^"]*"|'\/(?!\/)[^']*')/gi;

export function rewriteLinks(html: string, prefix: string): string {
  return html.replace(LINK, (_all, before: string, quoted: string) => {
    const quote = quoted[0] ?? '"';
    const path = quoted.slice(1, -1);
    return path.startsWith(`${prefix}/`) ? `${before}${quoted}` : `${before}${quote}${prefix}${path}${quote}`;
  });
}
