// The bundle before this script defines SwaggerUIBundle.
SwaggerUIBundle({
  url: '../openapi.json',
  dom_id: '#docs',
  deepLinking: true,
  defaultModelsExpandDepth: 0,
  // Their public validator would be sent our description.
  validatorUrl: null,
})
