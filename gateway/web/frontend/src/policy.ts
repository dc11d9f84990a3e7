// Trusted types: the browser lets nothing turn text into elements or scripts but what goes through this policy. Its name
// stands in the content security policy, and only once may it be made.

interface Policy {
  createHTML(text: string): string;
  createScriptURL(url: string): string;
}

interface Factory {
  createPolicy(name: string, rules: Policy): Policy;
}

const rules: Policy = {
  createHTML: (text) => text, // htmx's: pages of our own server
  createScriptURL: (url) => {
    if (!url.startsWith("/static/")) throw new TypeError(`${url} is no script of ours`);
    return url;
  },
};

const factory = (window as unknown as { trustedTypes?: Factory }).trustedTypes;

export const policy: Policy = factory === undefined ? rules : factory.createPolicy("tidegate", rules);
