// The keys of a stack: what Supabase would hand out for one project, made anew for every stack.

import { createHash, createHmac, randomBytes } from 'node:crypto';

const base64url = (data) => Buffer.from(data).toString('base64url');
const seconds = () => Math.floor(Date.now() / 1000);

/** A JWT signed with HS256. */
export function jwt(secret, payload) {
  const body = `${base64url('{"alg":"HS256","typ":"JWT"}')}.${base64url(JSON.stringify(payload))}`;
  return `${body}.${createHmac('sha256', secret).update(body).digest('base64url')}`;
}

/** A legacy key: the JWT of a role, valid for so many seconds from now. */
export function roleKey({ jwt_secret, ref }, role, valid) {
  const now = seconds();
  const exp = now + valid;
  return jwt(jwt_secret, { iss: 'supabase', ref, role, iat: Math.min(now, exp - 60), exp });
}

/** A new key: a prefix, 22 random characters and a checksum over them and the project. */
function opaqueKey(kind, ref) {
  const body = `sb_${kind}_${randomBytes(17).toString('base64url').slice(0, 22)}`;
  return `${body}_${createHash('sha256').update(`${ref}|${body}`).digest('base64url').slice(0, 8)}`;
}

/** The secret of a new project, its name and its keys. */
export function newProject() {
  const letters = [...randomBytes(20)].map((byte) => String.fromCharCode(97 + (byte % 26)));
  const project = { ref: letters.join(''), jwt_secret: randomBytes(32).toString('base64url') };
  const tenYears = 10 * 365 * 24 * 3600;
  project.keys = {
    service_role: roleKey(project, 'service_role', tenYears),
    anon: roleKey(project, 'anon', tenYears),
    expired: roleKey(project, 'service_role', -3600),
    secret: opaqueKey('secret', project.ref),
    publishable: opaqueKey('publishable', project.ref),
  };
  return project;
}
