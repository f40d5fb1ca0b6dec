// Passkeys (WebAuthn) on the pages that offer them. Without this script they offer something else.
// A form with `data-passkey` asks the browser first, and sends its answer in the field `credential`.

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

async function get({ challenge, allowCredentials, ...rest }) {
  const { id, type, response } = await navigator.credentials.get({
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
    },
  };
}

async function answer(form) {
  const { passkey, options } = form.dataset;
  const failed = form.querySelector('[role="alert"]');
  failed.hidden = true;
  try {
    const credential = await (passkey === 'create' ? create : get)(JSON.parse(options));
    form.elements.credential.value = JSON.stringify(credential);
    form.submit(); // asks nobody again
  } catch {
    failed.hidden = false; // called off, or nothing that fits is at hand
  }
}

for (const form of document.querySelectorAll('form[data-passkey]')) {
  if (!window.PublicKeyCredential) break;
  form.hidden = false;
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    void answer(form);
  });
}
