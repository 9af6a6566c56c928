"use strict";
// Starts Swagger UI with the OpenAPI document of the page. It sends requests only to this origin.
(() => {
  const place = document.getElementById("docs");
  SwaggerUIBundle({
    domNode: place,
    url: place.dataset.document,
    validatorUrl: null,
    deepLinking: true,
    displayRequestDuration: true,
    docExpansion: "list",
    persistAuthorization: false,
  });
})();
