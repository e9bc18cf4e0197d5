// Shows that a request reaches a function and comes back.

export default async (request: Request): Promise<Response> => {
  const { name = 'world' } = request.body ? await request.json() : {};
  return Response.json({ message: `Hello ${name}!` });
};
