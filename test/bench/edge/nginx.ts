import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Child, startProgram } from './program.ts'

/** How an nginx passes traffic on: with its own buffers, or with large ones. */
export type Buffers = 'default' | '64k'

export type Nginx = Child & { port: number }

type Options = { dir: string; name: string; port: number; program: string }

const around = (dir: string, port: number, inside: string) => `
daemon off; master_process on; worker_processes 1; user root; pid ${dir}/pid; error_log stderr crit;
worker_rlimit_nofile 40000;
events { worker_connections 30000; }
http {
  access_log off; tcp_nodelay on; keepalive_requests 1000000000; keepalive_timeout 1h;
  client_body_temp_path ${dir}/body; proxy_temp_path ${dir}/proxy; fastcgi_temp_path ${dir}/f; uwsgi_temp_path ${dir}/u; scgi_temp_path ${dir}/s;
  map $http_upgrade $connection_upgrade { default upgrade; '' ''; }
  ${inside.replaceAll('LISTEN', `listen 127.0.0.1:${port} backlog=4096;`)}
}
`

const start = async ({ dir, name, port, program }: Options, inside: string): Promise<Nginx> => {
  const folder = join(dir, name)
  mkdirSync(folder, { recursive: true })
  const config = join(folder, 'nginx.conf')
  writeFileSync(config, around(folder, port, inside))
  const child = await startProgram(program, ['-p', folder, '-c', config], { port })
  return { ...child, port }
}

/** An nginx with one worker that passes everything on to a port, as its manual says it is done for WebSockets. */
export const startNginxProxy = (options: Options & { upstream: number; buffers: Buffers }): Promise<Nginx> => {
  const large =
    options.buffers === '64k' ? 'proxy_buffer_size 64k; proxy_buffers 8 64k; proxy_busy_buffers_size 128k;' : ''
  return start(
    options,
    `upstream up { server 127.0.0.1:${options.upstream}; keepalive 256; keepalive_requests 1000000000; }
    server { LISTEN location / {
      proxy_pass http://up; proxy_http_version 1.1; proxy_read_timeout 1h; proxy_send_timeout 1h;
      proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade; proxy_set_header Host $host;
      proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Forwarded-Proto $scheme;
      ${large}
    } }`,
  )
}

/** An nginx that answers every request with `bytes` of text by itself. */
export const startNginxUpstream = (options: Options & { bytes: number }): Promise<Nginx> =>
  start(options, `server { LISTEN default_type text/plain; location / { return 200 "${'x'.repeat(options.bytes)}"; } }`)
