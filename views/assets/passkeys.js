// Passkeys (WebAuthn) on the pages that offer them. Without this script they offer something else.
// A form with `data-passkey` asks the browser first, and sends its answer in the field `credential`.
// One with `data-field` has the browser offer passkeys at that field, too, among the names that it fills in.

const toBytes = (text) =>
  Uint8Array.from(atob(text.replaceAll('-', '+').replaceAll('_', '/')), (letter) => letter.charCodeAt(0));
const toText = (bytes) =>
  btoa(String.fromCharCode(...new Uint8Array(bytes)))
    .replaceAll('+', '-')
    .replaceAll('/', '_')
    .replace(/=+$/, '');
const descriptors = (list = []) => list.map((one) => ({ ...one, id: toBytes(one.id) }));

async function create({ challenge, user, excludeCredentials, ...rest }) {
  const { id, type, response } = await navigator.credentials.create({
    publicKey: {
      ...rest,
      challenge: toBytes(challenge),
      user: { ...user, id: toBytes(user.id) },
      excludeCredentials: descriptors(excludeCredentials),
    },
  });
  return {
    id,
    rawId: id,
    type,
    clientExtensionResults: {},
    response: {
      clientDataJSON: toText(response.clientDataJSON),
      attestationObject: toText(response.attestationObject),
      transports: response.getTransports?.() ?? [],
    },
  };
}

async function get({ challenge, allowCredentials, ...rest }, how = {}) {
  const { id, type, response } = await navigator.credentials.get({
    ...how,
    publicKey: {
      ...rest,
      challenge: toBytes(challenge),
      allowCredentials: descriptors(allowCredentials),
    },
  });
  return {
    id,
    rawId: id,
    type,
    clientExtensionResults: {},
    response: {
      clientDataJSON: toText(response.clientDataJSON),
      authenticatorData: toText(response.authenticatorData),
      signature: toText(response.signature),
      userHandle: response.userHandle ? toText(response.userHandle) : undefined,
    },
  };
}

function send(form, credential) {
  form.elements.credential.value = JSON.stringify(credential);
  form.submit(); // asks nobody again
}

/** Waits for somebody to choose a passkey at the field. A browser asks for one at a time. */
let waiting;
async function offer(form) {
  const field = document.getElementById(form.dataset.field);
  if (!field || !(await PublicKeyCredential.isConditionalMediationAvailable?.())) return;
  field.autocomplete = 'username webauthn';
  waiting = new AbortController();
  try {
    const how = { mediation: 'conditional', signal: waiting.signal };
    send(form, await get(JSON.parse(form.dataset.options), how));
  } catch {
    // Called off for the button, which says what went wrong.
  }
}

async function answer(form) {
  const { passkey, options } = form.dataset;
  const failed = form.querySelector('[role="alert"]');
  failed.hidden = true;
  try {
    waiting?.abort();
    send(form, await (passkey === 'create' ? create : get)(JSON.parse(options)));
  } catch {
    failed.hidden = false; // called off, or nothing that fits is at hand
    void offer(form);
  }
}

for (const form of document.querySelectorAll('form[data-passkey]')) {
  if (!window.PublicKeyCredential) break;
  form.hidden = false;
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    void answer(form);
  });
  void offer(form);
}
